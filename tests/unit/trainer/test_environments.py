"""Environments that nobody uses any more make room; those in use never do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.kit.errors import InvalidArgument
from services.trainer import environments

DAY = 86_400.0
USED = 1_000_000_000.0


@pytest.fixture
def told() -> list[str]:
    return []


def _made(root: Path, name: str, *, used: float = USED) -> Path:
    """As a process that has ended has left it."""
    made = root / name
    (made / "bin").mkdir(parents=True)
    (root / f"{name}.lock").touch()
    (root / f"{name}.used").touch()
    os.utime(root / f"{name}.used", (used, used))
    return made


def test_what_was_not_used_for_a_month_goes_and_nothing_else(tmp_path: Path, told: list[str]) -> None:
    old, recent = _made(tmp_path, "old"), _made(tmp_path, "recent", used=USED + 2 * DAY)
    (tmp_path / "of-somebody-else").mkdir()
    environments.remove_unused(tmp_path, told.append, now=USED + 31 * DAY)
    assert not old.exists()
    assert recent.exists()
    assert (tmp_path / "of-somebody-else").exists()
    assert told == ["removes the environment old, which nobody has used for a while"]
    assert not list(tmp_path.glob("*.leaving"))


@pytest.mark.parametrize(("days", "stays"), [("0", True), ("400", True), ("0.5", False)])
def test_how_long_is_a_setting(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, days: str, stays: bool
) -> None:
    monkeypatch.setenv(environments.DAYS, days)
    made = _made(tmp_path, "made")
    environments.remove_unused(tmp_path, told.append, now=USED + DAY)
    assert made.exists() is stays


@pytest.mark.parametrize("days", ["many", "-1", "nan", "inf"])
def test_a_setting_that_is_no_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    monkeypatch.setenv(environments.DAYS, days)
    with pytest.raises(InvalidArgument, match=environments.DAYS):
        environments.remove_unused(tmp_path, print)


def test_what_a_program_uses_stays_also_after_it_became_another_one(tmp_path: Path, told: list[str]) -> None:
    """A driver takes the environment, and then becomes a program in it, which knows nothing of locks."""
    made = _made(tmp_path, "made")
    code = (
        "import os, sys; from pathlib import Path; from services.trainer.environments import one_at_a_time\n"
        "with one_at_a_time(Path(sys.argv[1]), print):\n"
        "    os.execv('/bin/sh', ['sh', '-c', 'echo in; read end'])"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code, str(made)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdin
    assert user.stdout
    with user:
        assert user.stdout.readline() == "in\n"
        used = (tmp_path / "made.used").stat().st_mtime
        environments.remove_unused(tmp_path, told.append, now=used + 99 * DAY)
        assert made.exists()
        user.stdin.close()
    environments.remove_unused(tmp_path, told.append, now=used + 99 * DAY)
    assert not made.exists()


def test_room_is_made_before_another_one_is_built(tmp_path: Path, told: list[str]) -> None:
    old, new = _made(tmp_path, "old"), tmp_path / "new"
    with environments.one_at_a_time(new, told.append):
        assert not old.exists()
        new.mkdir()
    environments.remove_unused(tmp_path, told.append, now=USED * 9)
    assert new.exists(), "this process uses it"


def test_what_was_half_removed_goes_the_next_time(tmp_path: Path, told: list[str]) -> None:
    _made(tmp_path, "old").rename(tmp_path / "old.leaving")
    environments.remove_unused(tmp_path, told.append)
    assert not list(tmp_path.glob("old.leaving"))
    assert told == []
