"""The file that outlives the process is always whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.monitor.snapshots import Snapshot


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "made" / "state.json"
    assert Snapshot(path).load() == (0.0, {})
    assert Snapshot(path).save({"a": [1, 2.5]})
    written, state = Snapshot(path).load()
    assert state == {"a": [1, 2.5]}
    assert written > 0


def test_the_same_state_is_written_once(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "state.json")
    assert [snapshot.save({"a": n}) for n in (1, 1, 2, 2)] == [True, False, True, False]


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99, "time": 1, "state": {}}', b"[]", b"\xff\xfe"])
def test_a_file_that_nobody_can_read_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    assert Snapshot(path).load() == (0.0, {})
    assert [file.read_bytes() for file in tmp_path.glob("state.unreadable-*")] == [content]
    assert Snapshot(path).save({})
    assert json.loads(path.read_bytes())["state"] == {}


def test_a_write_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    snapshot = Snapshot(path)
    snapshot.save({"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        snapshot.save({"a": 2})
    monkeypatch.undo()
    assert Snapshot(path).load()[1] == {"a": 1}
    assert snapshot.save({"a": 2})
    assert Snapshot(path).load()[1] == {"a": 2}
