"""What the next process finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.monitor.comparison import Comparison
from services.monitor.keeping import Keeper
from services.monitor.requests import NewComparison
from services.monitor.snapshots import Snapshot

pytestmark = pytest.mark.anyio


def comparison(name: str, *, ended: bool = False) -> Comparison:
    wanted = NewComparison(name=f"comparisons/{name}", model="models/lin", stable=1, candidate=2)
    made = Comparison.begin(wanted, None, 1000.0)
    if ended:
        made.end(2000.0)
    return made


def names(keeper: Keeper) -> dict[str, bool]:
    """Whether each has ended."""
    return {c.definition.name: c.ended is not None for c in keeper.load().comparisons}


async def test_running_and_ended_ones_are_found_again(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    assert keeper.load().comparisons == ()
    await keeper.save([comparison("a"), comparison("b", ended=True)], {"gw": {"read": 1.0}})
    kept = Keeper(tmp_path).load()
    assert names(Keeper(tmp_path)) == {"a": False, "b": True}
    assert kept.counters == {"gw": {"read": 1.0}}
    assert 0 <= kept.away < 60


async def test_one_that_ended_while_the_process_died_has_ended(tmp_path: Path) -> None:
    await Keeper(tmp_path).save([comparison("a")], {})
    state = {"comparisons": [comparison("a", ended=True).to_json()]}
    Snapshot(tmp_path / "comparisons-ended.json").save(state)
    assert names(Keeper(tmp_path)) == {"a": True}


async def test_a_file_of_another_kind_is_put_aside_and_the_other_one_read(tmp_path: Path) -> None:
    await Keeper(tmp_path).save([comparison("a"), comparison("b", ended=True)], {})
    Snapshot(tmp_path / "comparisons.json").save({"comparisons": [{"definition": 7}]})
    assert names(Keeper(tmp_path)) == {"b": True}
    assert list(tmp_path.glob("comparisons.unreadable-*"))


async def test_one_that_nobody_can_read_takes_no_other_with_it(tmp_path: Path) -> None:
    ended = [comparison(name, ended=True) for name in ("a", "b")]
    states = [ended[0].to_json(), {**ended[1].to_json(), "judge": "{}"}]
    Snapshot(tmp_path / "comparisons-ended.json").save({"comparisons": states})
    keeper = Keeper(tmp_path)
    assert names(keeper) == {"a": True}
    await keeper.save(keeper.load().comparisons or [ended[0]], {})
    assert names(Keeper(tmp_path)) == {"a": True}


async def test_a_full_disk_is_borne_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for looks in (1, 2):
        await keeper.save([comparison("a"), comparison("b", ended=True)], {})
        assert keeper.unsaved == looks
    monkeypatch.undo()
    await keeper.save([comparison("a"), comparison("b", ended=True)], {})
    assert keeper.unsaved == 0
    assert names(Keeper(tmp_path)) == {"a": False, "b": True}
