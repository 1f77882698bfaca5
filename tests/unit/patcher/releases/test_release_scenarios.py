from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.patcher.releases.simulator import ReleaseWorld
from tests.unit.patcher.simulator import play

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_decides_as_recorded(path: Path) -> None:
    recorded = path.read_text()
    played = play(recorded, ReleaseWorld)
    if os.environ.get("BMASE_REWRITE"):
        path.write_text(played)
    assert played == recorded or os.environ.get("BMASE_REWRITE")
