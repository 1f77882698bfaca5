"""The blocking client against a real registry."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase import Client, NewVersion, samples
from bmase.errors import (
    AlreadyExists,
    Cancelled,
    ChangedMeanwhile,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from bmase.registry.v1 import registry_pb2 as pb

from tests.support.onnx_models import affine
from tests.support.ports import free_port
from tests.support.registry import Registry
from tests.support.relay import Relay


@pytest.fixture
def name() -> str:
    """A model that no other test knows."""
    return f"m-{uuid.uuid4().hex[:12]}"


def _onnx(folder: Path, a: float = 2.0, b: float = 0.0) -> Path:
    file = folder / f"net-{a}-{b}.onnx"
    file.write_bytes(affine(a, b).SerializeToString())
    return file


def test_push_get_list_pull(client: Client, name: str, tmp_path: Path) -> None:
    x = np.ones((1, 4), np.float32)
    new = NewVersion(
        description="doubles",
        labels={"team": "x"},
        metrics={"accuracy": 0.9},
        samples=[samples.from_arrays({"input:x": x, "output:y": 2 * x})],
        lineage={"seed": 7, "author": "a"},
    )
    made = client.push(name, _onnx(tmp_path), new, alias="stable")
    assert made.name == f"models/{name}/versions/1"
    assert [t.name for t in made.signature.inputs] == ["x"]
    assert made.lineage.seed == 7
    assert client.models.get(name).aliases["stable"] == 1
    assert client.versions.get(name, "stable").digest == client.versions.get(name).digest == made.digest
    assert [v.number for v in client.versions.list(name, "metrics.accuracy>0.8")] == [1]
    assert [m.name for m in client.models.list(f'name:"{name}"')] == [f"models/{name}"]

    got = client.pull(name, "stable", tmp_path / "out")
    assert got.number == 1
    assert (tmp_path / "out" / "1" / "model.onnx").read_bytes() == _onnx(tmp_path).read_bytes()
    assert "onnxruntime" in (tmp_path / "out" / "config.pbtxt").read_text()
    assert not list((tmp_path / "out").rglob("*.part"))


def test_what_was_pulled_is_pushed_again(client: Client, name: str, tmp_path: Path) -> None:
    x = np.ones((1, 4), np.float32)
    sample = samples.from_arrays({"input:x": x, "output:y": 2 * x})
    one = client.push(name, _onnx(tmp_path), NewVersion(samples=[sample]))
    client.pull(name, one.number, tmp_path / "out")
    with pytest.raises(AlreadyExists):
        client.push(name, tmp_path / "out")
    two = client.push(name, [tmp_path / "out" / "1", tmp_path / "out" / "config.pbtxt"])
    assert two.number == 2
    assert two.signature == one.signature


def test_samples_of_the_version_that_was_pulled_before_do_not_stay(client: Client, name: str, tmp_path: Path) -> None:
    x = np.ones((1, 4), np.float32)
    both = [samples.from_arrays({"input:x": x * factor, "output:y": 2 * factor * x}) for factor in (1, 3)]
    client.push(name, _onnx(tmp_path), NewVersion(samples=both))
    client.push(name, _onnx(tmp_path, b=1.0))
    for version, left in ((1, ["1.pb", "2.pb"]), (2, [])):
        client.pull(name, version, tmp_path / "out")
        assert sorted(file.name for file in (tmp_path / "out" / "samples").iterdir()) == left


def test_a_push_that_was_not_finished_is_finished_by_the_same_call(client: Client, name: str, tmp_path: Path) -> None:
    """The version was made, but its answer was lost or its alias could not be set."""
    made = client.push(name, _onnx(tmp_path))
    seen: list[pb.Version] = []
    again = client.push(name, _onnx(tmp_path), alias="stable", existing=seen.append)
    assert (again.name, again.digest) == (made.name, made.digest)
    assert [version.number for version in seen] == [made.number]
    assert client.models.get(name).aliases == {"stable": made.number}
    assert client.models.get(name).version_count == 1
    with pytest.raises(AlreadyExists):
        client.push(name, _onnx(tmp_path))


def test_an_alias_that_cannot_be_is_refused_before_anything_is_sent(client: Client, name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="v2"):
        client.push(name, _onnx(tmp_path), alias="v2")
    with pytest.raises(NotFound):
        client.models.get(name)


def test_lists_go_over_pages(client: Client, name: str) -> None:
    for number in range(5):
        client.models.create(f"{name}-{number}", labels={"of": name})
    found = list(client.models.list(f'labels.of="{name}"', page_size=2))
    assert [m.name.rsplit("-", 1)[1] for m in found] == list("01234")


def test_changes_of_models_and_versions(client: Client, name: str, tmp_path: Path) -> None:
    client.push(name, _onnx(tmp_path))
    before = client.models.get(name)
    assert client.models.update(name, labels={"a": "b"}, etag=before.etag).labels == {"a": "b"}
    with pytest.raises(ChangedMeanwhile) as stale:
        client.models.update(name, description="x", etag=before.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
    assert client.models.update(name, description="x").labels == {"a": "b"}
    assert client.versions.update(name, 1, labels={"c": "d"}).labels == {"c": "d"}


def test_what_is_in_use_is_not_deleted_and_what_is_deleted_comes_back(
    client: Client, name: str, tmp_path: Path
) -> None:
    client.push(name, _onnx(tmp_path), alias="stable")
    with pytest.raises(PreconditionFailed) as used:
        client.versions.delete(name, 1)
    assert used.value.reason == "VERSION_IN_USE"
    client.models.delete_alias(name, "stable")
    assert client.versions.delete(name, 1).delete_time.seconds
    assert list(client.versions.list(name)) == []
    assert len(list(client.versions.list(name, show_deleted=True))) == 1
    assert not client.versions.undelete(name, 1).delete_time.seconds
    client.models.delete(name)
    assert [m.name for m in client.models.list(f'name:"{name}"')] == []
    assert client.models.undelete(name).version_count == 1


@pytest.mark.parametrize(
    ("do", "kind", "reason"),
    [
        (lambda c, n: c.models.get(n), NotFound, "MODEL_NOT_FOUND"),
        (lambda c, n: c.models.create("No Such Name!"), InvalidArgument, "INVALID_FIELD"),
        (lambda c, n: list(c.models.list("nonsense ===")), InvalidArgument, "INVALID_FIELD"),
        (lambda c, n: (c.models.create(n), c.models.create(n)), AlreadyExists, "MODEL_EXISTS"),
        (lambda c, n: (c.models.create(n), c.versions.get(n)), NotFound, "VERSION_NOT_FOUND"),
        (lambda c, n: (c.models.create(n), c.models.set_alias(n, "a", 3)), NotFound, "VERSION_NOT_FOUND"),
    ],
)
def test_errors_arrive_with_type_reason_and_words(
    client: Client, name: str, do: Any, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind) as failed:
        do(client, name)
    assert failed.value.reason == reason  # type: ignore[attr-defined]
    assert failed.value.message  # type: ignore[attr-defined]
    if kind is InvalidArgument:
        assert failed.value.field  # type: ignore[attr-defined]


def test_a_model_that_is_no_model_is_refused(client: Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x0a\x03abc")
    with pytest.raises(InvalidArgument) as refused:
        client.push(name, tmp_path / "model.onnx")
    assert refused.value.reason == "INVALID_MODEL_FILE"


def test_nobody_there() -> None:
    with Client(f"127.0.0.1:{free_port()}") as nobody, pytest.raises(Unavailable) as failed:
        nobody.models.get("m")
    assert "bmase config" in failed.value.hint


def _take(events: Iterator[pb.WatchModelsResponse], until: int, into: list[pb.WatchModelsResponse]) -> None:
    for event in events:
        into.append(event)
        if event.kind == until:
            return


def test_a_watch_goes_on_over_a_restart_without_a_gap(own_registry: Registry, tmp_path: Path) -> None:
    with own_registry.client() as client:
        client.models.create("before")
        events = client.models.watch()
        seen: list[pb.WatchModelsResponse] = []
        _take(events, pb.WatchModelsResponse.KIND_SYNCED, seen)
        assert [e.model.name for e in seen if e.HasField("model")] == ["models/before"]

        own_registry.process.kill()
        thread = threading.Thread(target=_take, args=(events, pb.WatchModelsResponse.KIND_VERSION_PUT, seen))
        thread.start()
        own_registry.start()
        with own_registry.client() as other:
            other.push("after", _onnx(tmp_path))
        thread.join(60)
        assert not thread.is_alive()
    with pytest.raises(Cancelled):
        next(events)
    named = [(e.kind, e.model.name) for e in seen if e.HasField("model")]
    assert named.count((pb.WatchModelsResponse.KIND_MODEL_PUT, "models/before")) == 1
    assert named[-1] == (pb.WatchModelsResponse.KIND_VERSION_PUT, "models/after")


def test_calls_wait_for_a_gateway_that_restarts(shared_registry: Registry) -> None:
    relay = Relay(shared_registry.port).start()
    with Client(relay.address) as client:
        list(client.models.list())
        relay.stop()
        timer = threading.Timer(1.0, relay.start)
        timer.start()
        list(client.models.list())
        timer.join()
    relay.stop()
