"""Looks at the data of schedules end when nobody wants them any more: one that hangs may take a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.trainer.schedules import data, spec
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.state import Schedule
from tests.unit.trainer.schedules.schedules import JOB


def _on_data(id: str, uri: str) -> Schedule:
    plan = {"job": {**JOB, "data": [{"uris": [uri]}]}}
    return tr.create(id, spec.ScheduleSpec.model_validate({"plan": plan, "trigger": {"kind": "data"}}), "ann", 0.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What became of each look: a store called "hangs" never answers."""
    told: list[tuple[str, str]] = []

    async def probe(uris: list[str], digest: bool) -> dict[str, str]:
        told.append((uris[0], "begun"))
        try:
            if "hangs" in uris[0]:
                await asyncio.Event().wait()
            return {"listing": "l", "digest": "d" if digest else ""}
        except asyncio.CancelledError:
            told.append((uris[0], "ended"))
            raise

    monkeypatch.setattr(data, "probe", probe)
    return told


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


HANGS, ANSWERS = "s3://hangs/rows", "s3://answers/rows"


@pytest.mark.parametrize(
    "then",
    [
        lambda _: [_on_data("fresh", ANSWERS)],  # its wish is another one now
        lambda before: [tr.pause(before, "ann"), _on_data("other", ANSWERS)],
        lambda _: [_on_data("other", ANSWERS)],  # it is gone
    ],
    ids=["changed", "paused", "deleted"],
)
async def test_a_look_that_nobody_wants_any_more_ends(
    asked: list[tuple[str, str]], then: Callable[[Schedule], list[Any]]
) -> None:
    watch, before = data.DataWatch(), _on_data("fresh", HANGS)
    watch.look([before])
    await _settled()
    assert asked == [(HANGS, "begun")]
    watch.look(then(before))
    await _settled()
    assert asked[1:] == [(HANGS, "ended"), (ANSWERS, "begun"), (ANSWERS, "begun")]  # its listing, and its content
    assert [seen.digest for seen in watch.look(then(before)).values()] == ["d"]
    await watch.close()


async def test_a_look_that_is_wanted_goes_on_and_ends_with_the_watch(asked: list[tuple[str, str]]) -> None:
    watch = data.DataWatch()
    for _ in range(2):
        assert watch.look([_on_data("fresh", HANGS)]) == {}
        await _settled()
    assert asked == [(HANGS, "begun")]
    await watch.close()
    assert asked[1:] == [(HANGS, "ended")]
