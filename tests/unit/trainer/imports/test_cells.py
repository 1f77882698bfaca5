"""What is read of the process inside is bounded, and whatever ends it is told by its cause."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.kit.errors import DomainError
from services.trainer.imports import cells
from services.trainer.imports.confine import Limits

TALKS = "import sys, time; sys.stdout.write('x' * 1_000_000); sys.stdout.flush(); time.sleep(60)"


def _follow(out: Path, most: int = 1 << 30) -> None:
    process = subprocess.Popen([sys.executable, "-c", TALKS], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        cells._follow(process, out, most, Limits(1 << 30, 1, 1 << 20))


def test_what_cannot_be_kept_ends_it_at_once(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="cannot be kept: No such file"):
        _follow(tmp_path / "gone" / "answer.tar")


def test_too_much_ends_it(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="more than 0 MiB"):
        _follow(tmp_path / "answer.tar", most=1000)
    assert (tmp_path / "answer.tar").stat().st_size <= 1000
