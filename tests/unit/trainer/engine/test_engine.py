"""The engine over a store, a gateway and a driver that do as they are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.engine import engine as engines
from services.trainer.engine import keeping
from services.trainer.engine.attempt import Brought, Checkpointed, Evaluated, Go, Kept, Prepared, Said, Trained
from services.trainer.engine.engine import Engine
from services.trainer.engine.hearing import MOST_AT_ONCE, batches
from services.trainer.engine.registering import Commit
from services.trainer.engine.sweeping import Sweeper
from services.trainer.jobs import transitions
from services.trainer.jobs.capacity import Amount
from services.trainer.jobs.events import Event
from services.trainer.jobs.state import Cause, Job, Phase
from tests.unit.trainer.jobs.jobs import job

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SILENT = DomainError(Reason.STORE_UNAVAILABLE, "the store does not answer")
PRODUCT = Kept(key="jobs/j1/product-aa.tar", digest="sha256:" + "a" * 64)
DONE = [Prepared(), Trained(product=PRODUCT), Evaluated(evidence=PRODUCT)]


class Records:
    """One job in memory; `refuse` is raised by so many of the next changes."""

    def __init__(self, job: Job) -> None:
        self.job, self.refused, self.lines, self.forgotten = job, 0, list[Event](), list[float]()

    async def get(self, _id: str) -> Job:
        return self.job

    async def change(self, _id: str, change: Callable[[Job], Job], _fence: int) -> Job:
        if self.refused:
            self.refused -= 1
            raise SILENT
        self.job = change(self.job)
        return self.job

    async def unfinished(self) -> list[Job]:
        return [] if self.job.final else [self.job]

    async def append(self, _id: str, events: Sequence[Event]) -> int:
        self.lines += events
        return len(self.lines)

    async def forget(self, before: float) -> None:
        self.forgotten.append(before)


class Gateway:
    def __init__(self, *answers: int | DomainError) -> None:
        self.answers = list(answers)

    async def version(self, _model: str) -> int:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, DomainError):
            raise answer
        return answer


class Assignments:
    """One folder; of `errors` one is raised each time that it is prepared."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.errors, self.cleared = folder, list[Exception](), False

    def folder(self, _job: str, _number: int) -> Path:
        return self._folder

    async def prepare(self, _job: Job, _number: int, _address: str, _nodes: Mapping[str, int]) -> Path:
        if self.errors:
            raise self.errors.pop(0)
        return self._folder

    async def stable(self, model: str, version: int, folder: Path) -> Brought:
        return Brought(name=f"{model}@{version}", folder=folder, version={})

    async def leave(self, _job: str, _number: int) -> None: ...

    async def clear(self) -> None:
        self.cleared = True


class Registering:
    """`upload` happens while files are stored; one of `errors` after the registry was asked. `asked`: for parents."""

    def __init__(self) -> None:
        self.upload: Callable[[], None] = lambda: None
        self.errors, self.asked = list[Exception](), list[int]()

    async def register(self, _job: Job, _below: Path, parent: int, commit: Commit) -> int:
        self.upload()
        await commit()
        self.asked.append(parent)
        if self.errors:
            raise self.errors.pop(0)
        return 7


class Blobs:
    """`keys` are there; nothing can be deleted while it is `silent`."""

    def __init__(self) -> None:
        self.keys, self.silent = {"jobs/j1/manifests.json"}, False

    def delete(self, key: str) -> None:
        if self.silent:
            raise SILENT
        self.keys.discard(key)

    def delete_all(self, prefix: str) -> None:
        for key in [key for key in self.keys if key.startswith(f"{prefix}/")]:
            self.delete(key)

    async def kept_below(self, prefix: str) -> set[str]:
        return {key.removeprefix(f"{prefix}/").split("/")[0] for key in self.keys}


class Ray:
    environment: ClassVar[dict[str, str]] = {}

    async def address(self) -> str:
        return "127.0.0.1:1"

    async def close(self) -> None: ...


class Driver:
    """Says what it is given, and ends."""

    says: ClassVar[list[Said]] = []
    told: ClassVar[list[Go]] = []

    def __init__(self, *_: object, **__: object) -> None:
        self.over = False

    async def said(self) -> AsyncIterator[Said]:
        for each in self.says:
            yield each

    async def ended(self) -> str:
        return "the driver's process ended"

    async def go(self, go: Go) -> None:
        self.told.append(go)

    def kill(self) -> None:
        self.over = True


class World:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (engines, keeping):
            monkeypatch.setattr(module, "AGAIN", 0.0)
        monkeypatch.setattr(engines, "Process", Driver)
        monkeypatch.setattr(Driver, "told", [])
        monkeypatch.setattr(Driver, "says", DONE)
        self.monkeypatch = monkeypatch
        self.records = Records(transitions.begin(job(parameters={"target": "y"}), 1.0, {"local": 1}))
        self.gateway, self.blobs, self.assignments = Gateway(0), Blobs(), Assignments(tmp_path)
        self.registering = Registering()

    def engine(self) -> Engine:
        parts: dict[str, Any] = {
            "assignments": self.assignments,
            "registering": self.registering,
            "stable": self.gateway,
            "ray": Ray(),
            "blobs": self.blobs,
            "machine": Amount(),
        }
        return Engine(self.records, self.records, Hub(), **parts)  # type: ignore[arg-type]

    def sweeper(self, journal_days: float = 0.0) -> Sweeper:
        return Sweeper(self.records, self.records, self.blobs, journal_days)  # type: ignore[arg-type]

    async def run(self) -> Job:
        """The job after its attempt."""
        engine = self.engine()
        engine.start(self.records.job, fence=1)
        while engine.alive():
            await asyncio.sleep(0)
        return self.records.job

    @property
    def printed(self) -> list[str]:
        return [getattr(event.body, "text", "") for event in self.records.lines]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


async def test_a_gate_is_never_passed_because_somebody_was_silent(world: World) -> None:
    silent = DomainError(Reason.SERVICE_UNAVAILABLE, "the gateway does not answer")
    world.gateway.answers = [silent, silent, 4]
    assert (await world.run()).phase is Phase.SUCCEEDED
    assert [go.stable_version for go in Driver.told] == [4]
    assert world.printed == ["waits: the gateway does not answer"]


async def test_who_waits_for_the_gateway_can_be_cancelled(world: World) -> None:
    world.gateway.answers = [DomainError(Reason.SERVICE_UNAVAILABLE, "the gateway does not answer")]
    engine = world.engine()
    engine.start(world.records.job, fence=1)
    while not world.printed:
        await asyncio.sleep(0)
    world.records.job = transitions.cancel(world.records.job, 9.0, "ann", "no longer needed")
    while engine.alive():
        engine.stop(world.records.job)
        await asyncio.sleep(0)
    assert (world.records.job.phase, world.records.job.message) == (Phase.CANCELLED, "no longer needed")


async def test_who_is_cancelled_while_its_files_are_stored_has_no_version(world: World) -> None:
    def cancelled() -> None:
        world.records.job = transitions.cancel(world.records.job, 9.0, "ann", "no longer needed")

    world.registering.upload = cancelled
    ended = await world.run()
    assert (ended.phase, ended.version, world.registering.asked) == (Phase.CANCELLED, 0, [])


async def test_a_registry_that_is_asked_again_is_asked_the_same_and_nobody_cancels_meanwhile(world: World) -> None:
    """Its first answer was lost; another version has become stable since, and somebody wants the job to stop."""
    world.gateway.answers = [3, 3, 8]
    world.registering.errors = [DomainError(Reason.SERVICE_UNAVAILABLE, "the registry does not answer")]
    refused: list[Reason] = []

    def cancel() -> None:
        if world.registering.asked:
            with pytest.raises(DomainError) as error:
                transitions.cancel(world.records.job, 9.0, "ann", "")
            refused.append(error.value.reason)

    world.registering.upload = cancel
    ended = await world.run()
    assert (ended.phase, ended.version, world.registering.asked) == (Phase.SUCCEEDED, 7, [3, 3])
    assert refused == [Reason.JOB_COMMITTED]


async def test_what_a_killed_trainer_asked_for_is_asked_for_again_by_the_next(world: World) -> None:
    registering = transitions.evaluated(
        transitions.trained(transitions.prepared(world.records.job, 1, 2.0), 1, 3.0, "sha256:aa"), 1, 4.0, []
    )
    asked = transitions.committed(registering, 1, 5.0, 3)
    lost = transitions.lost(asked, 1, 6.0, Cause.TRAINER_LOST, "killed")
    world.records.job = transitions.begin(lost, 9.0, {"local": 1})
    world.gateway.answers = [8]
    ended = await world.run()
    assert (ended.phase, ended.version, world.registering.asked) == (Phase.SUCCEEDED, 7, [3])


async def test_a_checkpoint_that_cannot_be_removed_ends_no_training(world: World) -> None:
    world.blobs.silent = True
    kept = [Kept(key=f"jobs/j1/checkpoints/1-{step}.pt", digest="d", step=step) for step in range(6)]
    says = [Prepared(), *[Checkpointed(kept=each) for each in kept], *DONE[1:]]
    world.monkeypatch.setattr(Driver, "says", says)
    ended = await world.run()
    assert (ended.phase, len(ended.attempts), ended.fruitless) == (Phase.SUCCEEDED, 1, 0)


async def test_a_registry_that_is_silent_while_an_attempt_is_prepared_costs_no_attempt(world: World) -> None:
    world.assignments.errors = [DomainError(Reason.SERVICE_UNAVAILABLE, "the registry does not answer")] * 9
    assert (await world.run()).phase is Phase.SUCCEEDED
    assert world.printed == ["waits: the registry does not answer"]


async def test_why_an_attempt_failed_is_kept_when_the_store_answers_again(world: World) -> None:
    world.assignments.errors = [DomainError(Reason.INVALID_FIELD, "the bundle is no .tar.gz or .zip")]
    world.records.refused = 3
    ended = await world.run()
    assert (ended.phase, ended.cause) == (Phase.FAILED, Cause.ERROR)
    assert "the bundle" in ended.message


async def test_what_a_job_has_left_is_removed_though_it_ended_while_it_waited(world: World) -> None:
    engine = world.engine()
    world.records.job = transitions.cancel(job(), 9.0, "ann", "")
    await engine.open()
    try:
        assert world.assignments.cleared
        while world.blobs.keys:
            await asyncio.sleep(0.01)
    finally:
        await engine.close()


async def test_jobs_that_go_on_keep_what_they_have(world: World) -> None:
    await world.sweeper().sweep()
    assert world.blobs.keys


async def test_old_lines_go_once_a_day(world: World) -> None:
    now = time.time()
    sweeper = world.sweeper(journal_days=90.0)
    for _ in range(3):
        await sweeper.sweep()
    (before,) = world.records.forgotten
    assert before == pytest.approx(now - 90 * 86_400, abs=60)
    world.monkeypatch.setattr(time, "time", lambda: now + 90_000)
    await sweeper.sweep()
    assert len(world.records.forgotten) == 2


async def test_lines_stay_for_ever_where_that_is_wanted(world: World) -> None:
    await world.sweeper(journal_days=0.0).sweep()
    assert not world.records.forgotten


async def test_nobody_waits_for_words_that_nobody_hears() -> None:
    async def endless() -> AsyncIterator[Said]:
        while True:
            yield Prepared()

    said = batches(endless())
    first = await anext(said)
    assert len(first) <= MOST_AT_ONCE + 1
    await asyncio.sleep(0.01)  # it is full now
    async with asyncio.timeout(10):
        await said.aclose()


async def test_what_was_said_before_an_error_is_heard() -> None:
    async def broken() -> AsyncIterator[Said]:
        yield Prepared()
        raise ValueError("no JSON")

    said = batches(broken())
    assert await anext(said) == [Prepared()]
    with pytest.raises(ValueError, match="no JSON"):
        await anext(said)
