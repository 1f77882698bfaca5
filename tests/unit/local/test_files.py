"""Logs, leftovers, names and the files that make a suite what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import leftovers
from infra.local.doctor import Verdict, graded
from infra.local.errors import SuiteError
from infra.local.logs import Follower, tail
from infra.local.nodes import parse
from infra.local.place import Identity, Place, read_json


def test_the_last_lines_of_a_log_larger_than_a_block(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n} {'x' * 100}\n" for n in range(5000)))
    assert [line.split()[1] for line in tail(log, 3)] == ["4997", "4998", "4999"]
    assert tail(log, 0) == []
    assert len(tail(log, 10_000)) == 5000
    assert tail(tmp_path / "none.log", 3) == []


def test_following_goes_on_over_a_rotation_and_a_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    follower = Follower(log)
    assert follower.new_lines() == []
    with log.open("a") as out:
        out.write("one\ntw")
    assert follower.new_lines() == ["one"]
    with log.open("a") as out:
        out.write("o\nlast of the old\n")
    log.rename(tmp_path / "a.log.1")
    log.write_text("first of the new\n")
    assert follower.new_lines() == ["two", "last of the old", "first of the new"]


def test_following_starts_before_the_file_is_there(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "a.log")
    assert follower.new_lines() == []
    (tmp_path / "a.log").write_text("hello\n")
    assert follower.new_lines() == ["hello"]


def _process(proc: Path, pid: int, environ: bytes, state: str = "S") -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "environ").write_bytes(environ)
    (proc / str(pid) / "stat").write_text(f"{pid} (a (strange) name) {state} 1 1")


def test_only_living_processes_with_the_whole_mark_are_ours(tmp_path: Path) -> None:
    _process(tmp_path, 10, b"A=1\0BMASE_SUITE_ID=abc\0B=2")
    _process(tmp_path, 11, b"BMASE_SUITE_ID=abcd")
    _process(tmp_path, 12, b"X=BMASE_SUITE_ID=abc")
    _process(tmp_path, 13, b"BMASE_SUITE_ID=abc", state="Z")
    (tmp_path / "version").write_text("not a process")
    assert leftovers.find("abc", tmp_path) == [10]


@pytest.mark.parametrize(
    ("text", "names"),
    [("", None), ("1", ("blue",)), ("3", ("blue", "green", "red")), ("a, b-2", ("a", "b-2"))],
)
def test_nodes(text: str, names: tuple[str, ...] | None) -> None:
    assert parse(text) == names


def test_many_nodes_have_different_names() -> None:
    names = parse("64")
    assert names is not None
    assert len(set(names)) == 64


@pytest.mark.parametrize("text", ["0", "65", "a,a", "A", "../x", "a b", ",", "-"])
def test_bad_nodes(text: str) -> None:
    with pytest.raises(SuiteError):
        parse(text)


def test_an_identity_is_made_once_and_nodes_can_change(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = Identity.read_or_make(place, None, ("blue",))
    again = Identity.read_or_make(place, ("blue", "green"), ("blue",))
    assert again.id == first.id
    assert Identity.read(place) == again
    assert Identity.read_or_make(place, None, ("x",)).nodes == ("blue", "green")


def test_one_command_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make()
    with place.locked(), pytest.raises(SuiteError, match="another command"), place.locked():
        pass
    with place.locked():
        pass


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(SuiteError, match=r"ports\.json"):
        read_json(tmp_path / "ports.json")


@pytest.mark.parametrize(("value", "verdict"), [(1, Verdict.FAILURE), (5, Verdict.WARNING), (20, Verdict.OK)])
def test_grades(value: float, verdict: Verdict) -> None:
    finding = graded("disk", value, (2, 10), "so much", "make room")
    assert finding.verdict is verdict
    assert bool(finding.remedy) is (verdict is not Verdict.OK)
