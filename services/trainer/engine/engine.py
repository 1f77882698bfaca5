"""The attempts that run here: started, heard, ended. What they say goes to the records as changes of their jobs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.engine import attempt as say
from services.trainer.engine.assignment import Assignments, task
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.calling import words
from services.trainer.engine.cluster import Cluster
from services.trainer.engine.embedded import EmbeddedRay
from services.trainer.engine.process import Process
from services.trainer.engine.registering import Registering, unavailable
from services.trainer.engine.stable import Stable
from services.trainer.engine.telling import latest_progress
from services.trainer.jobs import transitions
from services.trainer.jobs.capacity import Amount
from services.trainer.jobs.events import Event, LogLine, Metrics, Stream
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.records import Change, JobRecords
from services.trainer.jobs.state import LOSSES, Cause, Checkpoint, GateResult, Job, Phase, Progress
from services.trainer.jobs.transitions import IllegalMove, StaleAttempt
from services.trainer.recipes.recipe import Place

log = structlog.get_logger(__name__)

HERE = "local"  # the node's name when Ray is our own
AGAIN = 1.0  # seconds until a store that does not answer is asked again
MOST_AT_ONCE = 500  # lines and metrics in one transaction

Key = tuple[str, int]  # job and attempt
Result = TypeVar("Result")


class Engine:
    """One for each time of leading; what it keeps it keeps under that fence."""

    def __init__(
        self,
        records: JobRecords,
        journal: JobJournal,
        hub: Hub,
        *,
        assignments: Assignments,
        registering: Registering,
        stable: Stable,
        ray: EmbeddedRay,
        blobs: Blobs,
        machine: Amount,
        address: str = "",
    ) -> None:
        self._records, self._journal, self._hub = records, journal, hub
        self._assignments, self._registering, self._stable = assignments, registering, stable
        self._ray, self._blobs, self._machine, self._address = ray, blobs, machine, address
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._processes: dict[Key, Process] = {}
        self._cluster = Cluster(address) if address else None
        self._closing = False

    def open(self) -> None:
        """Before anything else."""
        if self._cluster is not None:
            self._cluster.open()

    def nodes(self) -> Mapping[str, Amount]:
        """What there is to hold: of this machine, or of the cluster."""
        return {HERE: self._machine} if self._cluster is None else self._cluster.nodes or {}

    def alive(self) -> frozenset[Key] | None:
        """The attempts that are worked on; None while the cluster is silent."""
        if self._cluster is not None and self._cluster.nodes is None:
            return None
        return frozenset(key for key, work in self._running.items() if not work.done())

    def start(self, job: Job, fence: int) -> None:
        """Begins the attempt that the job has; what comes of it is kept."""
        assert job.attempt is not None
        key = (job.id, job.attempt.number)
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._attempt(job, key, fence), name=f"attempt {key}")

    def stop(self, job: Job) -> None:
        """Ends the attempt's processes; when they are gone, that is kept."""
        if job.attempt is None:
            return
        key = (job.id, job.attempt.number)
        if process := self._processes.get(key):
            process.kill()
        elif work := self._running.get(key):
            work.cancel()

    async def close(self) -> None:
        """Ends everything at once; whoever leads next goes on with it."""
        self._closing = True
        for process in self._processes.values():
            process.kill()
        for work in self._running.values():
            work.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._ray.close()
        if self._cluster is not None:
            await self._cluster.close()

    async def _attempt(self, job: Job, key: Key, fence: int) -> None:
        keep = _Keeper(self._records, job.id, key[1], fence, self._hub)
        try:
            await self._work(job, key, keep)
        except asyncio.CancelledError:
            cause, said = (Cause.TRAINER_LOST, "the trainer was stopped") if self._closing else (Cause.WORKER_LOST, "")
            await keep.quietly(lambda now: _gone(now, key[1], said, cause))
            raise
        except (StaleAttempt, IllegalMove) as error:
            log.info("attempt_given_up", job=job.id, attempt=key[1], message=str(error))
        except DomainError as error:
            if error.reason is Reason.NOT_LEADER:
                return
            log.warning("attempt_failed", job=job.id, attempt=key[1], reason=error.reason.value, message=error.message)
            cause, said = Cause.WORKER_LOST if unavailable(error) else Cause.ERROR, words(error)
            await keep.quietly(lambda now: _ended(now, key[1], cause, said))
        except Exception as error:
            log.exception("attempt_crashed", job=job.id, attempt=key[1])
            message = f"the trainer itself failed: {type(error).__name__}"
            await keep.quietly(lambda now: _ended(now, key[1], Cause.ERROR, message))
        finally:
            self._processes.pop(key, None)
            self._running.pop(key, None)
            await asyncio.to_thread(shutil.rmtree, self._assignments.folder(*key), ignore_errors=True)
            if not self._closing:
                await self._forget(job.id)
            self._hub.notify()

    async def _work(self, job: Job, key: Key, keep: _Keeper) -> None:
        if job.stage is not Phase.REGISTERING:
            heard = await self._drive(job, key, keep)
            if heard.concluded:
                return
            if not heard.evaluated:
                await keep.change(lambda now, at: _gone(now, at, heard.words))
                return
        else:
            await keep.change(transitions_prepared)
        now = await self._records.get(job.id)
        if now.stop:
            await keep.change(lambda found, at: transitions.stopped(found, at, time.time()))
            return
        version = await self._register(now)
        await keep.change(lambda found, at: transitions.registered(found, at, time.time(), version))

    async def _register(self, job: Job) -> int:
        """Again and again while somebody does not answer: everything was done but for this."""
        while True:
            try:
                return await self._registering.register(job, await self._stable.version(job.model))
            except DomainError as error:
                if not unavailable(error):
                    raise
                log.warning("not_registered", job=job.id, message=error.message)
                await asyncio.sleep(AGAIN)

    async def _forget(self, job: str) -> None:
        """What was kept for further attempts of a job that has ended; what cannot be removed now is swept up later."""
        with contextlib.suppress(DomainError, OSError):
            if (await self._records.get(job)).final:
                await asyncio.to_thread(self._blobs.delete_all, f"jobs/{job}")

    async def sweep(self) -> None:
        """The same for all jobs that have ended while nobody led."""
        with contextlib.suppress(DomainError, OSError):
            going_on = {job.id for job in await self._records.unfinished()}
            for job in await self._blobs.kept_below("jobs") - going_on:
                await self._forget(job)

    async def _drive(self, job: Job, key: Key, keep: _Keeper) -> _Heard:
        on_ray = task(job).place is Place.WORKERS and not job.product
        address = (self._address or await self._ray.address()) if on_ray else ""
        folder = await self._assignments.prepare(job, key[1], address)
        own_ray = self._ray.environment if on_ray and not self._address else {}
        mark = f"{job.id}-{key[1]}"
        process = Process(folder, own_ray, mark, has_lock=job.spec.environment_digest is not None)
        self._processes[key] = process
        heard = _Heard(self, job, process, keep, self._journal)
        try:
            async for batch in _batches(process.said()):
                await heard.hear(batch)
            heard.words = await process.ended()
        finally:
            process.kill()
            self._processes.pop(key, None)
        return heard

    def told(self) -> None:
        """Whoever watches a job looks again."""
        self._hub.notify()

    async def go(self, job: Job) -> say.Go:
        """The version that is stable now, brought; none when it cannot be had."""
        attempt = job.attempts[-1].number
        try:
            version = await self._stable.version(job.model)
            if not version:
                return say.Go()
            folder = self._assignments.folder(job.id, attempt)
            return say.Go(stable=await self._assignments.stable(job.model, version, folder), stable_version=version)
        except DomainError as error:
            if not unavailable(error) and error.reason is not Reason.VERSION_NOT_FOUND:
                raise
            log.warning("stable_unknown", job=job.id, message=error.message)
            return say.Go()

    async def drop(self, before: Job, after: Job) -> None:
        """Checkpoints that have left the list."""
        kept = {checkpoint.uri for checkpoint in after.checkpoints}
        for checkpoint in before.checkpoints:
            if checkpoint.uri not in kept:
                await asyncio.to_thread(self._blobs.delete, checkpoint.uri)


def transitions_prepared(job: Job, attempt: int) -> Job:
    """PREPARING -> the stage that the job is at."""
    return transitions.prepared(job, attempt, time.time())


Move = Callable[[Job, int], Job]


class _Keeper:
    """Changes one job as one attempt of it, under the leader's fence; waits for a store that does not answer."""

    def __init__(self, records: JobRecords, job: str, attempt: int, fence: int, hub: Hub) -> None:
        self._records, self._job, self._attempt, self._fence, self._hub = records, job, attempt, fence, hub

    async def change(self, move: Move) -> tuple[Job, Job]:
        """The job before and after. StaleAttempt when the attempt no longer counts; NOT_LEADER."""
        before: list[Job] = []

        def change(now: Job) -> Job:
            before[:] = [now]
            return move(now, self._attempt)

        after = await _kept(lambda: self._records.change(self._job, change, self._fence))
        self._hub.notify()
        return before[0], after

    async def quietly(self, change: Change) -> None:
        """What no longer counts is left out."""
        with contextlib.suppress(IllegalMove, DomainError):
            await self._records.change(self._job, change, self._fence)


async def _kept(write: Callable[[], Awaitable[Result]]) -> Result:
    """What was written; again and again while the store does not answer."""
    while True:
        try:
            return await write()
        except DomainError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            log.warning("not_kept", message=error.message)
            await asyncio.sleep(AGAIN)


def _gone(job: Job, attempt: int, message: str, cause: Cause = Cause.WORKER_LOST) -> Job:
    """Its processes are gone, and it had not ended."""
    if job.stop:
        return transitions.stopped(job, attempt, time.time())
    return transitions.lost(job, attempt, time.time(), cause, message)


def _ended(job: Job, attempt: int, cause: Cause, message: str) -> Job:
    if cause in LOSSES:
        return _gone(job, attempt, message, cause)
    return transitions.failed(job, attempt, time.time(), cause, message)


class _Heard:
    """What one driver says, kept."""

    def __init__(self, engine: Engine, job: Job, process: Process, keep: _Keeper, journal: JobJournal) -> None:
        self._engine, self._job, self._process, self._keep, self._journal = engine, job, process, keep, journal
        self.evaluated = False
        self.concluded = False  # by a verdict: there is nothing to register
        self.words = ""

    async def hear(self, batch: list[say.Said]) -> None:
        """In order; lines and metrics that follow each other are one transaction, and of progress the last counts."""
        chatter: list[Event] = []
        for said in latest_progress(batch):
            if event := _event(said, self._job.attempts[-1].number):
                chatter.append(event)
                continue
            await self._append(chatter)
            await self._one(said)
        await self._append(chatter)

    async def _append(self, chatter: list[Event]) -> None:
        while chatter:
            some = chatter[:MOST_AT_ONCE]
            await _kept(partial(self._journal.append, self._job.id, some))
            del chatter[:MOST_AT_ONCE]
            self._engine.told()

    async def _one(self, said: say.Said) -> None:
        now = time.time()
        match said:
            case say.Prepared():
                await self._keep.change(transitions_prepared)
                if self._job.product:
                    await self._process.go(await self._engine.go(self._job))
            case say.Progressed():
                progress = Progress(said.step, said.total, said.epoch, said.message)
                await self._keep.change(lambda job, at: transitions.progressed(job, at, progress))
            case say.Checkpointed():
                kept = said.kept
                made = Checkpoint(kept.step, kept.key, kept.digest, kept.size, time=now)
                await self._engine.drop(
                    *await self._keep.change(lambda job, at: transitions.checkpointed(job, at, made))
                )
            case say.Trained():
                digest = said.product.digest
                await self._keep.change(lambda job, at: transitions.trained(job, at, now, digest))
                await self._process.go(await self._engine.go(self._job))
            case say.Evaluated():
                gates = [GateResult(gate.gate, gate.outcome, gate.message) for gate in said.gates]
                sentence = said.sentence
                if said.registers:
                    await self._keep.change(lambda job, at: transitions.evaluated(job, at, now, gates))
                    self.evaluated = True
                else:
                    await self._keep.change(lambda job, at: transitions.concluded(job, at, now, gates, sentence))
                    self.concluded = True
            case say.Failed():
                cause, message = said.cause, said.message
                await self._keep.change(lambda job, at: _ended(job, at, cause, message))


def _event(said: say.Said, attempt: int) -> Event | None:
    match said:
        case say.Measured():
            return Event(said.time, attempt, Metrics(said.step, dict(said.values)))
        case say.Logged():
            stream = Stream.STDERR if said.stderr else Stream.STDOUT
            return Event(said.time, attempt, LogLine(said.text, said.worker, stream))
    return None


async def _batches(said: AsyncIterator[say.Said]) -> AsyncIterator[list[say.Said]]:
    """What has come meanwhile, together."""
    waiting: asyncio.Queue[say.Said | None] = asyncio.Queue(MOST_AT_ONCE)

    async def read() -> None:
        try:
            async for each in said:
                await waiting.put(each)
        finally:
            await waiting.put(None)

    reader = asyncio.create_task(read())
    try:
        ended = False
        while not ended:
            batch = [await waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            ended = None in batch
            if found := [each for each in batch if each is not None]:
                yield found
        await reader
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
