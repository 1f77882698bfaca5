"""The first report of a request counts, whichever of report and sample comes first, and over a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import anyio
import pytest

from services.monitor.outcomes import Given, OutcomeEvent, Outcomes, journal, reports
from services.monitor.outcomes.reports import Answered
from services.monitor.samples.memory import MemoryStore
from services.monitor.samples.model import Batch, Rules, Sample, Told, new_id
from services.monitor.samples.writer import Writer

pytestmark = pytest.mark.anyio


class Desk:
    """Outcomes over an empty store, with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = time.time()
        self.events: list[OutcomeEvent] = []
        self.store = MemoryStore(1 << 20)
        self.restart()

    def restart(self) -> None:
        self.outcomes = Outcomes(
            self.folder, self.store, Writer(self.store, lambda model: Rules()), self.events.append, lambda: self.now
        )

    async def report(self, *given: Given) -> Answered:
        return await self.outcomes.report("digits", given)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "outcomes")


def sample(request_id: str = "r-1", prediction: str = "7", **more: object) -> Sample:
    found: dict[str, object] = {"client": "client-1", "via": "weight", "version": 2, "time": 1000.0, **more}
    return Sample(id=new_id(1000.0), model="digits", request_ids=(request_id,), prediction=prediction, **found)  # type: ignore[arg-type]


def right(request_id: str = "r-1", label: str = "7", **more: object) -> Given:
    return Given(request_id, label, 0.0, 2000.0, **more)  # type: ignore[arg-type]


async def test_a_report_meets_its_sample(desk: Desk) -> None:
    desk.outcomes.saw(sample())
    assert await desk.report(right(label="3")) == Answered(1, 0, 0)
    assert desk.events == [OutcomeEvent(1000.0, "digits", 2, "client-1", "r-1", wrong=True)]
    assert desk.outcomes.accuracy.of("digits", 2) == (1, 1)


async def test_a_report_waits_for_its_sample(desk: Desk) -> None:
    assert await desk.report(right()) == Answered(0, 1, 0)
    assert desk.events == []
    joined = desk.outcomes.saw(sample())
    assert joined.told == Told("7", 0.0, 2000.0, wrong=False)
    assert [event.wrong for event in desk.events] == [False]
    assert desk.outcomes.saw(sample()).told is None, "it met its sample already"


async def test_repeats_change_nothing(desk: Desk) -> None:
    desk.outcomes.saw(sample())
    assert await desk.report(right(), right(), right(label="3")) == Answered(1, 0, 2)
    assert await desk.report(right(label="3")) == Answered(0, 0, 1)
    assert [event.wrong for event in desk.events] == [False]


async def test_a_waiting_report_repeated_still_waits_once(desk: Desk) -> None:
    await desk.report(right())
    assert await desk.report(right()) == Answered(0, 0, 1)
    desk.outcomes.saw(sample())
    assert len(desk.events) == 1


async def test_a_complete_report_needs_no_sample(desk: Desk) -> None:
    assert await desk.report(right(label="3", version=4, prediction="7")) == Answered(1, 0, 0)
    assert desk.events == [OutcomeEvent(2000.0, "digits", 4, "", "r-1", wrong=True, sampled=False)]


async def test_one_that_waits_may_be_completed(desk: Desk) -> None:
    await desk.report(right())
    assert await desk.report(right(version=4, prediction="7")) == Answered(1, 0, 0)
    assert await desk.report(right(version=4, prediction="7")) == Answered(0, 0, 1)
    assert len(desk.events) == 1


async def test_nobody_waits_longer_than_two_hours(desk: Desk) -> None:
    await desk.report(right())
    desk.now += 3601
    await desk.report(right("r-2"))
    desk.now += 3601
    await desk.report(right("r-3"))
    desk.outcomes.saw(sample("r-1"))
    assert desk.events == []
    desk.outcomes.saw(sample("r-2"))
    assert len(desk.events) == 1


async def test_what_was_seen_of_a_model_can_be_forgotten(desk: Desk) -> None:
    desk.outcomes.saw(sample())
    desk.outcomes.forget("digits")
    assert await desk.report(right()) == Answered(0, 1, 0)


async def test_a_report_whose_caller_has_gone_counts(desk: Desk) -> None:
    desk.outcomes.saw(sample())
    calling = asyncio.ensure_future(desk.report(right(label="3")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calling.cancel()
    while not desk.events:
        await asyncio.sleep(0.01)
    assert await desk.report(right(label="3")) == Answered(0, 0, 1)
    assert len(desk.events) == 1


async def test_a_report_that_failed_can_be_repeated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.outcomes.saw(sample())
    with monkeypatch.context() as broken:
        broken.setattr(desk.outcomes._journal, "append", lambda lines: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await desk.report(right())
    assert await desk.report(right()) == Answered(1, 0, 0)


async def test_a_restart_remembers_what_was_reported(desk: Desk) -> None:
    desk.outcomes.saw(sample())
    await desk.report(right(label="3"), right("r-2"))
    desk.restart()
    assert await desk.report(right(), right("r-2")) == Answered(0, 0, 2)
    assert desk.outcomes.accuracy.of("digits", 2) == (1, 1)
    desk.outcomes.saw(sample("r-2"))
    assert [event.request_id for event in desk.events] == ["r-1", "r-2"]


async def test_a_journal_cut_off_by_a_crash_is_read_as_far_as_it_goes(desk: Desk) -> None:
    await desk.report(right("r-1"), right("r-2"))
    path = desk.folder / "outcomes.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    desk.restart()
    assert await desk.report(right("r-1"), right("r-2")) == Answered(0, 1, 1)


async def test_after_a_restart_the_store_knows_the_request(desk: Desk) -> None:
    kept = sample()
    await desk.store.write(Batch((kept,), (), {kept.id: desk.now + 1000}))
    assert await desk.report(right(label="3")) == Answered(1, 0, 0)
    assert desk.events[0].version == 2
    told = sample("r-9", told=Told("7", 0.0, 1.0, wrong=False))
    await desk.store.write(Batch((told,), (), {told.id: desk.now + 1000}))
    assert await desk.report(right("r-9")) == Answered(0, 0, 1)


async def test_only_weighted_requests_are_judged(desk: Desk) -> None:
    desk.outcomes.saw(sample(via="version"))
    assert await desk.report(right()) == Answered(1, 0, 0)
    assert desk.events == []
    assert desk.outcomes.accuracy.of("digits", 2) == (1, 0)


@pytest.mark.parametrize(
    ("given", "prediction", "verdict"),
    [
        (Given("r", "7", 0.0, 0.0), "7", False),
        (Given("r", "7", 0.0, 0.0), "7.0", False),
        (Given("r", " 7", 0.0, 0.0), "7", False),
        (Given("r", "cat", 0.0, 0.0), "Cat", True),
        (Given("r", "", 0.4, 0.0), "", True),
        (Given("r", "", 0.5, 0.0), "", False),
        (Given("r", "7", 0.0, 0.0), "", None),
    ],
)
async def test_when_an_answer_was_wrong(desk: Desk, given: Given, prediction: str, verdict: bool | None) -> None:
    desk.outcomes.saw(sample("r", prediction))
    await desk.report(given)
    assert [event.wrong for event in desk.events] == ([] if verdict is None else [verdict])


async def test_accuracy_forgets_after_an_hour(desk: Desk) -> None:
    await desk.report(right(version=4, prediction="7"))
    desk.now += 3700
    assert desk.outcomes.accuracy.of("digits", 4) == (0, 0)
    assert desk.outcomes.accuracy.totals["digits", 4, False] == 1


async def test_memory_and_files_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_REMEMBERED", 2000)
    monkeypatch.setattr(journal, "MAX_LINES", 1000)
    desk.restart()
    for number in range(20):
        await desk.outcomes.report("digits", [right(f"r-{number}-{n}") for n in range(500)])
        assert desk.outcomes.waiting <= 2000
    files = list(desk.folder.iterdir())
    assert len(files) == 2
    assert all(len(path.read_text().splitlines()) <= 1000 for path in files)


async def test_versions_that_never_were_do_not_fill_the_memory(desk: Desk) -> None:
    for start in range(1, 5000, 1000):
        numbers = range(start, start + 1000)
        await desk.report(*(right(f"r-{n}", version=n, prediction="7") for n in numbers))
    assert len(desk.outcomes.accuracy.totals) == 2000
    assert desk.outcomes.accuracy.of("digits", 5000) == (1, 0)
    assert desk.outcomes.accuracy.of("digits", 1) == (0, 0)


async def test_many_calls_at_once_are_all_journalled(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        for start in range(0, 2000, 100):
            tasks.start_soon(
                desk.report, *(right(f"r-{n}", version=1, prediction="7") for n in range(start, start + 100))
            )
    desk.restart()
    assert desk.outcomes.accuracy.of("digits", 1) == (2000, 0)
