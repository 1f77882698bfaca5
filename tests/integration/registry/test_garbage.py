"""Garbage collection, on every kind of storage."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb

from tests.support.onnx_models import affine
from tests.support.registry import digest_of, get, pieces, put, refusal


def collect(stub: Any, dry_run: bool = False) -> pb.CollectGarbageResponse:
    """What was made at least a second ago and is in nobody's use."""
    time.sleep(1.1)
    return stub.CollectGarbage(pb.CollectGarbageRequest(min_age_seconds=1, dry_run=dry_run))  # type: ignore[no-any-return]


def version(stub: Any, name: str, digest: str, *extra: str) -> pb.Version:
    files = [pb.File(path="model.onnx", digest=digest)]
    files += [pb.File(path=f"extra-{index}", digest=other) for index, other in enumerate(extra)]
    request = pb.CreateVersionRequest(parent=f"models/{name}", version=pb.Version(files=files), create_model=True)
    return stub.CreateVersion(request)  # type: ignore[no-any-return]


def stored(stub: Any, digest: str) -> bool:
    try:
        stub.GetArtefact(pb.GetArtefactRequest(digest=digest))
    except grpc.RpcError as error:
        return {grpc.StatusCode.NOT_FOUND: False}[error.code()]
    return True


def test_what_is_in_use_stays_and_what_is_not_goes(stub: Any, name: str) -> None:
    model, extra, loose = (
        put(stub, affine(41.0).SerializeToString()),
        put(stub, os.urandom(100)),
        put(stub, os.urandom(99)),
    )
    made = version(stub, name, model, extra)
    planned = collect(stub, dry_run=True)
    assert loose in planned.names
    assert stored(stub, loose)
    done = collect(stub)
    assert loose in done.names
    assert done.artefacts >= 1
    assert not stored(stub, loose)
    for file in made.files:
        assert file.digest not in done.names
        assert digest_of(get(stub, file.digest)) == file.digest


def test_a_deleted_version_goes_with_what_only_it_used(stub: Any, name: str) -> None:
    shared, own = put(stub, os.urandom(50)), put(stub, os.urandom(51))
    first = version(stub, name, put(stub, affine(42.0).SerializeToString()), shared, own)
    second = version(stub, name, put(stub, affine(43.0).SerializeToString()), shared)
    stub.DeleteVersion(pb.DeleteVersionRequest(name=first.name))
    assert stored(stub, own)
    names = collect(stub).names
    assert first.name in names
    assert own in names
    assert shared not in names
    assert refusal(lambda: stub.GetVersion(pb.GetVersionRequest(name=first.name))).reason == "VERSION_NOT_FOUND"
    assert stub.GetVersion(pb.GetVersionRequest(name=second.name)) == second
    assert len(get(stub, shared)) == 50


def test_numbers_are_never_used_again(stub: Any, name: str) -> None:
    model = put(stub, affine(44.0).SerializeToString())
    version(stub, name, model)
    stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}"))
    assert f"models/{name}" in collect(stub).names
    assert refusal(lambda: stub.GetModel(pb.GetModelRequest(name=f"models/{name}"))).reason == "MODEL_NOT_FOUND"
    assert version(stub, name, put(stub, affine(44.0).SerializeToString())).number == 2


def test_an_upload_left_behind_goes(stub: Any) -> None:
    raw = os.urandom(1000)
    upload = stub.StartUpload(pb.StartUploadRequest(digest=digest_of(raw), size_bytes=len(raw)))
    stub.WriteArtefact(pieces(upload, raw[:10]))
    done = collect(stub)
    assert f"upload {upload.id}" in done.names
    assert refusal(lambda: stub.GetUpload(pb.GetUploadRequest(id=upload.id))).reason == "UPLOAD_NOT_FOUND"
    again = stub.StartUpload(pb.StartUploadRequest(digest=digest_of(raw), size_bytes=len(raw)))
    assert again.offset == 0
    assert stub.WriteArtefact(pieces(again, raw)).complete


def test_asking_for_an_artefact_keeps_it(stub: Any) -> None:
    raw = os.urandom(64)
    digest = put(stub, raw)
    time.sleep(1.1)
    assert stub.StartUpload(pb.StartUploadRequest(digest=digest, size_bytes=64)).complete
    assert digest not in stub.CollectGarbage(pb.CollectGarbageRequest(min_age_seconds=1)).names


@pytest.mark.parametrize("rounds", [12])
def test_collecting_never_takes_what_a_version_gets_at_that_moment(stub: Any, name: str, rounds: int) -> None:
    """Old, unused artefacts are collected, uploaded again and put into versions, all at the same time."""
    contents = [affine(1000.0 + index).SerializeToString() for index in range(rounds)]
    for raw in contents:
        put(stub, raw)
    time.sleep(1.1)
    stop = threading.Event()

    def collecting() -> int:
        taken = 0
        while not stop.is_set():
            taken += stub.CollectGarbage(pb.CollectGarbageRequest(min_age_seconds=1)).artefacts
        return taken

    def using(index: int) -> pb.Version:
        time.sleep(index * 0.03)
        while True:
            try:
                return version(stub, f"{name}-{index}", put(stub, contents[index]))
            except grpc.RpcError as error:
                # Told that it is gone: uploaded again, as the SDK does.
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        collectors = [pool.submit(collecting) for _ in range(2)]
        made = list(pool.map(using, range(rounds)))
        time.sleep(1.2)
        stop.set()
        assert sum(collector.result() for collector in collectors) >= 1
    for index, one in enumerate(made):
        assert get(stub, one.files[0].digest) == contents[index]
        for file in one.files:
            assert digest_of(get(stub, file.digest)) == file.digest


def test_the_store_holds_nothing_that_is_not_accounted_for(registry: Any, stub: Any) -> None:
    for _ in range(3):
        put(stub, os.urandom(10_000))
    collect(stub)
    done = collect(stub, dry_run=True)
    assert done.artefacts == 0
    blobs = registry.data / "blobs"
    if not blobs.is_dir():
        return  # on S3 the listing below would be the store's own
    keys = {path.name for path in blobs.rglob("*") if path.is_file() and ".incoming" not in path.parts}
    used = {file.digest for page in all_versions(stub) for file in page.files}
    assert {key.partition("-")[0] for key in keys} == {digest.removeprefix("sha256:") for digest in used}


def all_versions(stub: Any) -> list[pb.Version]:
    token, found = "", []
    while True:
        request = pb.ListVersionsRequest(parent="models/-", show_deleted=True, page_token=token, page_size=1000)
        page = stub.ListVersions(request)
        found += page.versions
        token = page.next_page_token
        if not token:
            return found
