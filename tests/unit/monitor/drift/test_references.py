"""References: immutable, durable, and not the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.monitor.references import ReferenceStore

NAME = "models/digits/versions/3"


def tensor(name: str = "x", rows: int = 200, seed: int = 0) -> pb.ReferenceTensor:
    values = np.random.default_rng(seed).normal(size=(rows, 4)).astype("<f4")
    return pb.ReferenceTensor(name=name, datatype="FP32", shape=[rows, 4], raw=values.tobytes())


def words(name: str, values: list[bytes]) -> pb.ReferenceTensor:
    raw = b"".join(len(value).to_bytes(4, "little") + value for value in values)
    return pb.ReferenceTensor(name=name, datatype="BYTES", shape=[len(values)], raw=raw)


def request(*inputs: pb.ReferenceTensor, outputs: tuple[pb.ReferenceTensor, ...] = ()) -> pb.PutReferenceRequest:
    return pb.PutReferenceRequest(name=NAME, inputs=inputs, outputs=outputs)


def test_it_is_kept_over_a_restart(tmp_path: Path) -> None:
    put = ReferenceStore(tmp_path).put(request(tensor(), outputs=(tensor("y", seed=1),)), now=12.5)
    got = ReferenceStore(tmp_path).get("digits", 3)
    assert got.message() == put.message()
    assert (got.rows, got.features, got.create_time) == (200, 4 + 4 + 1, 12.5)
    live = np.random.default_rng(2).normal(size=(4, 50)).astype(np.float32)
    before, after = put.tensors[0].grid, got.tensors[0].grid
    assert (before.count(live) == after.count(live)).all()
    assert got.tensors[1].groups[0].counts.tolist() == put.tensors[1].groups[0].counts.tolist()


def test_rows_are_not_kept(tmp_path: Path) -> None:
    ReferenceStore(tmp_path).put(request(tensor(rows=20_000)), now=0)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 20_000


def test_the_same_one_again_is_the_same(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path)
    first = store.put(request(tensor("a"), tensor("b", seed=1)), now=1)
    assert store.put(request(tensor("b", seed=1), tensor("a")), now=2) is first


def test_another_one_is_refused(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path)
    store.put(request(tensor()), now=1)
    with pytest.raises(DomainError) as raised:
        ReferenceStore(tmp_path).put(request(tensor(seed=9)), now=2)
    assert raised.value.reason is Reason.REFERENCE_EXISTS
    assert store.get("digits", 3).create_time == 1


def test_a_version_without_one(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as raised:
        ReferenceStore(tmp_path).get("digits", 4)
    assert raised.value.reason is Reason.REFERENCE_NOT_FOUND


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    ReferenceStore(tmp_path).put(request(tensor()), now=1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    assert ReferenceStore(tmp_path).find("digits", 3) is None
    assert [found.suffix for found in tmp_path.iterdir()] == [".unreadable"]


def test_few_are_kept_in_memory_and_all_on_disk(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path, cached=2)
    for number in range(1, 6):
        store.put(pb.PutReferenceRequest(name=f"models/m/versions/{number}", inputs=[tensor()]), now=number)
    assert [store.get("m", number).create_time for number in range(1, 6)] == [1, 2, 3, 4, 5]


def test_strings_are_categories(tmp_path: Path) -> None:
    made = ReferenceStore(tmp_path).put(request(words("colour", [b"red", b"red", b"blue"])), now=0)
    assert made.tensors[0].groups[0].shares == {"red": pytest.approx(2 / 3), "blue": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (request(), "inputs"),
        (pb.PutReferenceRequest(name="digits", inputs=[tensor()]), "name"),
        (pb.PutReferenceRequest(name="models/../versions/3", inputs=[tensor()]), "name"),
        (request(tensor("a"), tensor("a")), "inputs"),
        (request(tensor("a"), tensor("b", rows=7)), "inputs"),
        (request(tensor("a"), pb.ReferenceTensor(name="b", datatype="FP32", shape=[3], raw=b"1234")), "inputs[1]"),
        (request(pb.ReferenceTensor(name="b", datatype="FP99", shape=[1], raw=b"1234")), "inputs[0]"),
        (request(pb.ReferenceTensor(name="b", datatype="FP32", shape=[0, 3])), "inputs[0]"),
        (request(pb.ReferenceTensor(datatype="FP32", shape=[1], raw=b"1234")), "inputs[0]"),
        (request(words("a", [b"x"]), outputs=(pb.ReferenceTensor(name="y", datatype="FP32"),)), "outputs[0]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, wrong: pb.PutReferenceRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        ReferenceStore(tmp_path).put(wrong, now=0)
    assert field in [violation.field for violation in raised.value.violations]
    assert list(tmp_path.iterdir()) == []


def test_more_features_than_can_be_compared_are_refused(tmp_path: Path) -> None:
    wide = [
        pb.ReferenceTensor(name=f"t{index}", datatype="UINT8", shape=[2, 1_500], raw=bytes(3_000)) for index in range(8)
    ]
    with pytest.raises(InvalidArgument, match="at most 8192 features"):
        ReferenceStore(tmp_path).put(request(*wide), now=0)
