"""Artefacts over the wire, on every kind of storage."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb

from services.registry.inflow import IDLE_SECONDS_WITH_OTHERS
from services.registry.uploads import MAX_RECEIVING
from tests.support.registry import Registry, digest_of, get, pieces, put, refusal

MIB = 1 << 20


def start(stub: Any, raw: bytes) -> pb.Upload:
    return stub.StartUpload(pb.StartUploadRequest(digest=digest_of(raw), size_bytes=len(raw)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [0, 1, 4095, MIB, 5 * MIB + 3])
def test_what_goes_in_comes_out(stub: Any, size: int) -> None:
    raw = os.urandom(size)
    digest = put(stub, raw)
    assert get(stub, digest) == raw
    found = stub.GetArtefact(pb.GetArtefactRequest(digest=digest))
    assert (found.digest, found.size_bytes) == (digest, size)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (MIB - 1, 2), (2 * MIB, 0), (3 * MIB, 0), (MIB, 10 * MIB)])
def test_reading_from_an_offset(stub: Any, offset: int, length: int) -> None:
    raw = os.urandom(3 * MIB)
    wanted = raw[offset : offset + length] if length else raw[offset:]
    assert get(stub, put(stub, raw), offset, length) == wanted


def test_reading_beyond_the_end_is_refused(stub: Any) -> None:
    failed = refusal(lambda: get(stub, put(stub, b"ten bytes."), 11))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("offset",))


def test_what_is_there_is_not_sent_again(stub: Any) -> None:
    raw = os.urandom(1000)
    put(stub, raw)
    again = start(stub, raw)
    assert (again.complete, again.offset) == (True, 1000)
    assert stub.GetUpload(pb.GetUploadRequest(id=again.id)).complete


def test_an_upload_goes_on_where_it_ended(stub: Any) -> None:
    raw = os.urandom(5 * MIB)
    upload = start(stub, raw)
    assert (upload.offset, upload.complete) == (0, False)
    kept = stub.WriteArtefact(pieces(upload, raw[: 2 * MIB + 7]))
    assert (kept.offset, kept.complete) == (2 * MIB + 7, False)
    assert start(stub, raw).offset == stub.GetUpload(pb.GetUploadRequest(id=upload.id)).offset == 2 * MIB + 7
    assert stub.WriteArtefact(pieces(upload, raw, kept.offset)).complete
    assert get(stub, digest_of(raw)) == raw


def test_a_broken_off_upload_keeps_what_arrived(stub: Any) -> None:
    raw = os.urandom(4 * MIB)
    upload = start(stub, raw)
    sent = threading.Event()

    def some() -> Iterator[pb.WriteArtefactRequest]:
        yield pb.WriteArtefactRequest(upload_id=upload.id)
        yield pb.WriteArtefactRequest(data=raw[:MIB])
        yield pb.WriteArtefactRequest(data=raw[MIB : 2 * MIB])
        sent.set()
        time.sleep(5)

    call = stub.WriteArtefact.future(some())
    sent.wait(5)
    assert eventually(lambda: stub.GetUpload(pb.GetUploadRequest(id=upload.id)).offset == 2 * MIB)
    call.cancel()
    again = start(stub, raw)
    assert again.offset == 2 * MIB
    assert stub.WriteArtefact(pieces(again, raw, again.offset)).complete


def eventually(true: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_the_wrong_offset_is_refused_with_the_right_one(stub: Any) -> None:
    raw = os.urandom(MIB)
    upload = start(stub, raw)
    stub.WriteArtefact(pieces(upload, raw[:1000]))
    for wrong in (0, 999, 1001):
        failed = refusal(lambda w=wrong: stub.WriteArtefact(pieces(upload, raw, w)))  # type: ignore[misc]
        assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "UPLOAD_OFFSET_MISMATCH")
        assert failed.error.metadata["offset"] == "1000"
    assert stub.WriteArtefact(pieces(upload, raw, 1000)).complete


def test_altered_bytes_are_refused_and_forgotten(stub: Any) -> None:
    raw = os.urandom(2 * MIB)
    upload = start(stub, raw)
    altered = raw[:MIB] + bytes([raw[MIB] ^ 1]) + raw[MIB + 1 :]
    failed = refusal(lambda: stub.WriteArtefact(pieces(upload, altered)))
    assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "DIGEST_MISMATCH")
    assert (
        refusal(lambda: stub.GetArtefact(pb.GetArtefactRequest(digest=digest_of(raw)))).reason == "ARTEFACT_NOT_FOUND"
    )
    assert start(stub, raw).offset == 0
    assert stub.WriteArtefact(pieces(upload, raw)).complete


def test_more_than_announced_is_refused(stub: Any) -> None:
    raw = os.urandom(1000)
    upload = start(stub, raw)
    failed = refusal(lambda: stub.WriteArtefact(pieces(upload, raw + b"x")))
    assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "SIZE_MISMATCH")
    offset = start(stub, raw).offset
    assert stub.WriteArtefact(pieces(upload, raw, offset)).complete


def test_a_digest_has_one_size(stub: Any) -> None:
    digest = put(stub, b"five!")
    failed = refusal(lambda: stub.StartUpload(pb.StartUploadRequest(digest=digest, size_bytes=6)))
    assert (failed.code, failed.reason, failed.fields) == ("FAILED_PRECONDITION", "SIZE_MISMATCH", ("size_bytes",))


def test_concurrent_uploads_of_one_digest_end_in_one_artefact(stub: Any) -> None:
    raw = os.urandom(8 * MIB)

    def attempt(_: int) -> str:
        for _ in range(20):
            upload = start(stub, raw)
            if upload.complete:
                return "complete"
            try:
                if stub.WriteArtefact(pieces(upload, raw, upload.offset)).complete:
                    return "complete"
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
        return "gave up"

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(attempt, range(6))) == {"complete"}
    assert get(stub, digest_of(raw)) == raw


def test_several_uploads_at_once(stub: Any) -> None:
    contents = [os.urandom(4 * MIB) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        digests = list(pool.map(lambda raw: put(stub, raw), contents))
    assert [get(stub, digest) for digest in digests] == contents


def test_a_writer_that_waits_gets_the_turn_of_a_silent_one(stub: Any) -> None:
    raw = os.urandom(2 * MIB)
    upload = start(stub, raw)
    silent = threading.Event()

    def never_ending() -> Iterator[pb.WriteArtefactRequest]:
        yield pb.WriteArtefactRequest(upload_id=upload.id)
        yield pb.WriteArtefactRequest(data=raw[:MIB])
        silent.wait(60)

    first = stub.WriteArtefact.future(never_ending())
    assert eventually(lambda: start(stub, raw).offset == MIB)
    began = time.monotonic()
    assert stub.WriteArtefact(pieces(upload, raw, MIB)).complete
    assert time.monotonic() - began < 2 * IDLE_SECONDS_WITH_OTHERS
    silent.set()
    assert first.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_whoever_waited_is_told_when_the_first_one_finishes(stub: Any) -> None:
    raw = os.urandom(2 * MIB)
    upload = start(stub, raw)
    go = threading.Event()

    def slowly() -> Iterator[pb.WriteArtefactRequest]:
        yield pb.WriteArtefactRequest(upload_id=upload.id)
        go.wait(20)
        yield pb.WriteArtefactRequest(data=raw)

    first = stub.WriteArtefact.future(slowly())
    time.sleep(0.3)
    second = stub.WriteArtefact.future(pieces(upload, raw))
    time.sleep(0.3)
    go.set()
    assert first.result(20).complete
    assert second.result(20).complete


def test_silent_writers_do_not_keep_others_out_for_long(stub: Any) -> None:
    stop = threading.Event()

    def silent(raw: bytes) -> Iterator[pb.WriteArtefactRequest]:
        yield pb.WriteArtefactRequest(upload_id=start(stub, raw).id)
        yield pb.WriteArtefactRequest(data=raw[:10])
        stop.wait(60)

    contents = [os.urandom(100) for _ in range(MAX_RECEIVING)]
    calls = [stub.WriteArtefact.future(silent(raw)) for raw in contents]
    assert eventually(lambda: all(start(stub, raw).offset == 10 for raw in contents))
    began = time.monotonic()
    put(stub, os.urandom(MIB))
    assert time.monotonic() - began < 2 * IDLE_SECONDS_WITH_OTHERS
    stop.set()
    assert all(call.code() is grpc.StatusCode.DEADLINE_EXCEEDED for call in calls)


def test_many_uploads_at_once_take_little_memory(own: Registry) -> None:
    contents = [os.urandom(24 * MIB) for _ in range(16)]
    before = own.rss_mb()
    with ThreadPoolExecutor(16) as pool:
        digests = list(pool.map(lambda raw: put(own.stub, raw), contents))
    assert digests == [digest_of(raw) for raw in contents]
    assert own.rss_mb(peak=True) < before + 150


@pytest.mark.parametrize("bad", ["", "x", "../../etc/passwd", "0" * 64, f"{'0' * 64}-", f"{'0' * 64}-5/..", "é" * 10])
def test_ids_that_are_none(stub: Any, bad: str) -> None:
    if bad:
        assert refusal(lambda: stub.GetUpload(pb.GetUploadRequest(id=bad))).reason == "UPLOAD_NOT_FOUND"
    message = pb.WriteArtefactRequest(upload_id=bad, data=b"x")
    assert refusal(lambda: stub.WriteArtefact(iter([message]))).reason == "UPLOAD_NOT_FOUND"
    assert refusal(lambda: stub.WriteArtefact(iter([]))).reason == "UPLOAD_NOT_FOUND"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.StartUploadRequest(digest="sha256:" + "A" * 64, size_bytes=1), "digest"),
        (pb.StartUploadRequest(digest="md5:" + "a" * 32, size_bytes=1), "digest"),
        (pb.StartUploadRequest(digest="sha256:../" + "a" * 61, size_bytes=1), "digest"),
        (pb.StartUploadRequest(digest="sha256:" + "a" * 64, size_bytes=-1), "size_bytes"),
        (pb.StartUploadRequest(digest="sha256:" + "a" * 64, size_bytes=2**62), "size_bytes"),
    ],
)
def test_bounds(stub: Any, request_: pb.StartUploadRequest, field: str) -> None:
    failed = refusal(lambda: stub.StartUpload(request_))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (field,))


def test_more_than_the_disk_has_is_refused_at_once(stub: Any) -> None:
    request = pb.StartUploadRequest(digest="sha256:" + "a" * 64, size_bytes=2**42)
    failed = refusal(lambda: stub.StartUpload(request))
    assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")


def test_a_message_has_at_most_two_mebibytes(stub: Any) -> None:
    raw = os.urandom(5 * MIB)
    upload = start(stub, raw)

    def messages() -> Iterator[pb.WriteArtefactRequest]:
        yield pb.WriteArtefactRequest(upload_id=upload.id)
        yield pb.WriteArtefactRequest(data=raw[: 2 * MIB])
        yield pb.WriteArtefactRequest(data=raw[2 * MIB : 4 * MIB + 1])

    failed = refusal(lambda: stub.WriteArtefact(messages()))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("data",))
    kept = start(stub, raw)
    assert kept.offset == 2 * MIB
    assert stub.WriteArtefact(pieces(kept, raw, kept.offset)).complete


def test_a_message_over_the_limit_is_refused_and_the_rest_is_kept(registry: Registry, stub: Any) -> None:
    raw = os.urandom(20 * MIB)
    upload = start(stub, raw)
    failed = refusal(lambda: stub.WriteArtefact(pieces(upload, raw, size=17 * MIB)))
    assert failed.code == "RESOURCE_EXHAUSTED"
    again = start(stub, raw)
    assert stub.WriteArtefact(pieces(again, raw, again.offset)).complete
