"""Folders of workers, of which some are killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.trainer.engine.scratch import scratch


def test_what_a_killed_worker_left_goes_with_the_next_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    killed = tmp_path / "0123"
    killed.mkdir()
    (killed / "data").write_text("much")
    killed.with_suffix(".lock").touch()  # nobody holds it
    with scratch(tmp_path) as first:
        assert not killed.exists()
        (first / "kept").touch()
        with scratch(tmp_path) as second:
            assert (first / "kept").exists()
            assert list(second.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="somebody else"), scratch(tmp_path):
        pass
