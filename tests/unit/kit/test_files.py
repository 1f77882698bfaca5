"""Files that are replaced as a whole, and folders that belong to one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kit.errors import DomainError
from services.kit.files import only_one, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.npz"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["x.npz"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_a_folder_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    held = only_one(tmp_path / "data", "registry")
    again = only_one(tmp_path / "data", "registry")
    with held, pytest.raises(DomainError, match="another registry uses"), again:
        pass
    with only_one(tmp_path / "data", "registry"):
        pass
