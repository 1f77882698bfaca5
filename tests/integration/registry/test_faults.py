"""What happens when a part dies, fills up or goes away. Each fault is provoked for real."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bmase.registry.v1 import registry_pb2 as pb

from tests.integration.registry.conftest import remote_settings
from tests.support.mariadb import MariaDB
from tests.support.onnx_models import affine
from tests.support.registry import Registry, digest_of, get, pieces, put, refusal
from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20


def create(stub: Any, name: str, a: float = 1.0) -> pb.Version:
    file = pb.File(path="model.onnx", digest=put(stub, affine(a).SerializeToString()))
    request = pb.CreateVersionRequest(
        parent=f"models/{name}", version=pb.Version(files=[file]), create_model=True, request_id=f"{name}-{a}"
    )
    return stub.CreateVersion(request, wait_for_ready=True, timeout=60)  # type: ignore[no-any-return]


def start(stub: Any, raw: bytes) -> pb.Upload:
    request = pb.StartUploadRequest(digest=digest_of(raw), size_bytes=len(raw))
    return stub.StartUpload(request, wait_for_ready=True, timeout=60)  # type: ignore[no-any-return]


def slowly(upload: pb.Upload, raw: bytes, offset: int = 0) -> Iterator[pb.WriteArtefactRequest]:
    for message in pieces(upload, raw, offset):
        yield message
        time.sleep(0.005)


def test_killed_in_the_middle_of_an_upload(own: Registry) -> None:
    raw = os.urandom(96 * MIB)
    upload = start(own.stub, raw)
    offset = 0
    for least in (20 * MIB, 50 * MIB):
        call = own.stub.WriteArtefact.future(slowly(upload, raw, offset))
        own.wait_staged(least)
        own.kill()
        assert call.exception(20) is not None
        own.start()
        resumed = start(own.stub, raw)
        assert resumed.offset >= least
        assert not resumed.complete
        offset = resumed.offset
    assert own.stub.WriteArtefact(pieces(upload, raw, offset)).complete
    assert get(own.stub, upload.digest) == raw
    assert own.staged() == 0


def test_a_staged_file_that_was_altered_on_the_disk_is_found_out(own: Registry) -> None:
    raw = os.urandom(4 * MIB)
    upload = start(own.stub, raw)
    own.stub.WriteArtefact(pieces(upload, raw[: 2 * MIB]))
    own.kill()
    (part,) = (own.data / "uploads").glob("*.part")
    with part.open("r+b") as file:
        file.write(b"damaged")
    own.start()
    resumed = start(own.stub, raw)
    failed = refusal(lambda: own.stub.WriteArtefact(pieces(resumed, raw, resumed.offset)))
    assert failed.reason == "DIGEST_MISMATCH"
    assert put(own.stub, raw) == upload.digest


@pytest.mark.parametrize("damage", [Path.unlink, lambda blob: os.truncate(blob, MIB)], ids=["lost", "cut short"])
def test_what_the_store_has_lost_is_uploaded_again(own: Registry, damage: Callable[[Path], None]) -> None:
    version = create(own.stub, "kept")
    raw = os.urandom(3 * MIB)
    digest = put(own.stub, raw)
    (blob,) = (own.data / "blobs").rglob(f"{digest.removeprefix('sha256:')}-*")
    damage(blob)
    upload = start(own.stub, raw)
    assert (upload.complete, upload.offset) == (False, 0)
    assert own.stub.WriteArtefact(pieces(upload, raw)).complete
    assert get(own.stub, digest) == raw
    assert start(own.stub, raw).complete
    own.stub.CollectGarbage(pb.CollectGarbageRequest())
    (healed,) = (own.data / "blobs").rglob(f"{digest.removeprefix('sha256:')}-*")
    assert healed.stat().st_size == len(raw)
    assert healed != blob
    assert own.stub.GetVersion(pb.GetVersionRequest(name=version.name)) == version


def test_killed_again_and_again_while_versions_are_made(own: Registry) -> None:
    made: dict[float, pb.Version] = {}
    stop = threading.Event()

    def making() -> None:
        a = 0.0
        while not stop.is_set():
            try:
                made[a] = create(own.stub, "steady", a)
            except Exception:  # whatever the kill made of the call: the same request is sent again
                time.sleep(0.05)
                continue
            a += 1.0

    maker = threading.Thread(target=making)
    maker.start()
    for _ in range(4):
        time.sleep(0.7)
        own.kill()
        own.start()
    time.sleep(0.5)
    stop.set()
    maker.join(90)
    assert len(made) > 4
    assert sorted(version.number for version in made.values()) == list(range(1, len(made) + 1))
    for a, version in made.items():
        found = own.stub.GetVersion(pb.GetVersionRequest(name=version.name))
        assert found == version
        assert get(own.stub, found.files[0].digest) == affine(a).SerializeToString()
        for file in found.files:
            assert digest_of(get(own.stub, file.digest)) == file.digest


def test_a_restart_keeps_everything(own: Registry) -> None:
    version = create(own.stub, "kept")
    own.stub.SetAlias(pb.SetAliasRequest(model="models/kept", alias="stable", version=1))
    own.stub.PutHold(pb.PutHoldRequest(version=version.name, holder="somebody"))
    before = own.stub.GetModel(pb.GetModelRequest(name="models/kept"))
    own.stop()
    assert own.process.returncode == 0
    own.start()
    ask = pb.GetModelRequest(name="models/kept")
    assert own.stub.GetModel(ask, wait_for_ready=True, timeout=30) == before
    found = own.stub.GetVersion(pb.GetVersionRequest(name="models/kept/versions/stable"))
    assert [hold.holder for hold in found.holds] == ["somebody"]
    assert create(own.stub, "kept") == version


def test_two_registries_do_not_share_a_folder(own: Registry) -> None:
    second = Registry(own.folder)
    second.process.start()
    second.process.wait_until(lambda: not second.process.alive, "end") if second.process.alive else None
    assert second.process.returncode == 1
    assert f"another registry uses {own.data}" in second.process.tail()
    assert create(own.stub, "still-serving").number == 1


# --- full disks -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["uploads", "blobs", "."])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """One folder of the registry is on a disk of 24 MB: the uploads, the store, or everything with the database."""
    made = Registry(tmp_path, small_disk=(request.param, "24m"))
    try:
        yield made.start()
    finally:
        made.close()


def test_a_full_disk_refuses_clearly_and_breaks_nothing(small: Registry, request: pytest.FixtureRequest) -> None:
    folder = request.node.callspec.params["small"]
    version = create(small.stub, "before")
    kept = os.urandom(2 * MIB)
    put(small.stub, kept)
    raw = os.urandom(8 * MIB)
    upload = start(small.stub, raw)
    filler = small.fill(folder, 3 * MIB)
    failed = refusal(lambda: small.stub.WriteArtefact(pieces(upload, raw)))
    assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
    assert get(small.stub, digest_of(kept)) == kept
    assert small.stub.GetVersion(pb.GetVersionRequest(name=version.name)) == version
    assert refusal(lambda: small.stub.GetArtefact(pb.GetArtefactRequest(digest=upload.digest))).code == "NOT_FOUND"
    filler.unlink()
    resumed = small.stub.GetUpload(pb.GetUploadRequest(id=upload.id))
    assert resumed.offset > 0
    assert small.stub.WriteArtefact(pieces(upload, raw, resumed.offset)).complete
    assert get(small.stub, upload.digest) == raw
    assert create(small.stub, "after", 2.0).number == 1


def test_a_full_database_refuses_clearly_and_breaks_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path, small_disk=(".", "6m"))
    try:
        stub = registry.start().stub
        create(stub, "before")
        filler = registry.fill(".", 0)
        text = "x" * 4000

        def until_refused() -> None:
            for index in range(500):
                stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/m{index}", description=text)))

        failed = refusal(until_refused)
        assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
        before = stub.ListModels(pb.ListModelsRequest(page_size=1000)).models
        filler.unlink()
        stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name="models/afterwards")))
        after = stub.ListModels(pb.ListModelsRequest(page_size=1000)).models
        assert len(after) == len(before) + 1
        registry.kill()
    finally:
        registry.close()


# --- the database or the store is away ------------------------------------------------------------------------------


def test_without_its_database_the_registry_says_so_and_comes_back(
    tmp_path: Path, mariadb: MariaDB, seaweedfs: SeaweedFS
) -> None:
    own_database = MariaDB(tmp_path / "own")
    registry: Registry | None = None
    try:
        registry = Registry(tmp_path, remote_settings(own_database.start(), seaweedfs))
        stub = registry.start().stub
        version = create(stub, "before")
        watch = stub.WatchModels(pb.WatchModelsRequest(model="models/before"))
        assert [next(watch).kind for _ in range(3)][-1] == pb.WatchModelsResponse.KIND_SYNCED
        raw = os.urandom(MIB)
        upload = start(stub, raw)
        own_database.kill()
        for call in (
            lambda: stub.GetModel(pb.GetModelRequest(name="models/before"), timeout=20),
            lambda: stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name="models/other")), timeout=20),
            lambda: stub.WriteArtefact(pieces(upload, raw), timeout=20),
        ):
            failed = refusal(call)
            assert (failed.code, failed.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        own_database.start()
        assert stub.GetVersion(pb.GetVersionRequest(name=version.name)) == version
        assert put(stub, raw) == upload.digest
        change = pb.Model(name="models/before", description="changed")
        stub.UpdateModel(pb.UpdateModelRequest(model=change))
        assert next(watch).model.description == "changed"
    finally:
        if registry is not None:
            registry.close()
        own_database.close()


def test_without_its_store_the_registry_says_so_and_loses_no_upload(tmp_path: Path, mariadb: MariaDB) -> None:
    own_store = SeaweedFS(tmp_path / "own")
    registry: Registry | None = None
    try:
        registry = Registry(tmp_path, remote_settings(mariadb, own_store.start()))
        stub = registry.start().stub
        version = create(stub, "before")
        raw = os.urandom(3 * MIB)
        upload = start(stub, raw)
        own_store.kill()
        failed = refusal(lambda: stub.WriteArtefact(pieces(upload, raw), timeout=120))
        assert (failed.code, failed.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert stub.GetVersion(pb.GetVersionRequest(name=version.name)) == version
        assert stub.GetUpload(pb.GetUploadRequest(id=upload.id)).offset == len(raw)
        failed = refusal(lambda: get(stub, version.files[0].digest))
        assert failed.reason == "STORE_UNAVAILABLE"
        own_store.start()
        assert stub.WriteArtefact(pieces(upload, raw, len(raw)), timeout=120).complete
        assert get(stub, upload.digest) == raw
    finally:
        if registry is not None:
            registry.close()
        own_store.stop()


def test_it_does_not_start_without_its_database(tmp_path: Path) -> None:
    registry = Registry(tmp_path, {"BMASE_REGISTRY_DATABASE_URL": "mysql://bmase:secret-word@127.0.0.1:9/registry"})
    registry.process.start()
    deadline = time.monotonic() + 30
    while registry.process.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert registry.process.returncode == 1
    assert "cannot start" in registry.process.tail()
    assert "secret-word" not in registry.process.tail()
