"""The parts of a transfer that need no server."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from bmase.errors import Cancelled
from bmase.progress import Meter, Phase, Progress
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import digests
from bmase.transfer.download import data_of
from bmase.transfer.upload import CHUNK, data_header


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, CHUNK, 2 << 20])
def test_messages_written_by_hand_are_those_of_protobuf(length: int) -> None:
    data = b"\xa5" * length
    by_hand = data_header(length) + data
    assert pb.WriteArtefactRequest.FromString(by_hand).data == data
    if length:
        assert by_hand == pb.WriteArtefactRequest(data=data).SerializeToString()


def test_a_chunk_is_within_what_the_contract_allows() -> None:
    assert CHUNK <= 2 << 20


@pytest.mark.parametrize("length", [0, 1, 127, 128, 100_000])
def test_messages_read_by_hand_are_those_of_protobuf(length: int) -> None:
    data = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    assert data_of(pb.ReadArtefactResponse(data=data).SerializeToString()) == data


def test_a_message_with_fields_of_a_newer_server_is_read_too() -> None:
    newer = pb.ReadArtefactResponse(data=b"abc").SerializeToString() + b"\x10\x07"
    assert data_of(newer) == b"abc"
    assert data_of(b"\x10\x07" + pb.ReadArtefactResponse(data=b"abc").SerializeToString()) == b"abc"


@pytest.mark.parametrize("size", [0, 1, digests.BLOCK, digests.BLOCK + 1])
def test_digests_of_files(tmp_path: Path, size: int) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * size)
    read: list[int] = []
    assert digests.of_file(file, read.append) == ("sha256:" + hashlib.sha256(b"x" * size).hexdigest(), size)
    assert sum(read) == size


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 10)

    def stop(_count: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        digests.of_file(file, stop)


def test_progress_is_told_phase_by_phase() -> None:
    told: list[Progress] = []
    meter = Meter("f", 10, told.append, threading.Lock())
    meter.begin(Phase.HASH)
    meter.add(10)
    meter.begin(Phase.UPLOAD, 4)
    meter.add(6)
    meter.finish(Phase.DONE)
    assert [(p.phase, p.done) for p in told] == [
        (Phase.HASH, 0), (Phase.HASH, 10), (Phase.UPLOAD, 4), (Phase.UPLOAD, 10), (Phase.DONE, 10),
    ]  # fmt: skip
