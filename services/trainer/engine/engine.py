"""The attempts that run here: started, heard, ended. What they say goes to the records as changes of their jobs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.engine import attempt as say
from services.trainer.engine.assignment import Assignments, task
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.calling import failure, unavailable
from services.trainer.engine.cluster import Cluster
from services.trainer.engine.embedded import EmbeddedRay
from services.trainer.engine.hearing import Heard
from services.trainer.engine.keeping import AGAIN, Keeper, gone, kept, prepared
from services.trainer.engine.process import Process
from services.trainer.engine.registering import Registering
from services.trainer.engine.stable import Stable
from services.trainer.engine.sweeping import Sweeper
from services.trainer.jobs import transitions
from services.trainer.jobs.capacity import Amount
from services.trainer.jobs.events import Event, LogLine, Stream
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.state import Cause, Job, Phase
from services.trainer.jobs.transitions import IllegalMove, StaleAttempt
from services.trainer.recipes.recipe import Place

log = structlog.get_logger(__name__)

HERE = "local"  # the node's name when Ray is our own

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
        journal_days: float = 0.0,
    ) -> None:
        self._records, self._journal, self._hub = records, journal, hub
        self._assignments, self._registering, self._stable = assignments, registering, stable
        self._ray, self._blobs, self._machine, self._address = ray, blobs, machine, address
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._processes: dict[Key, Process] = {}
        self._cluster = Cluster(address) if address else None
        self._closing = False
        self._sweeper = Sweeper(records, journal, blobs, journal_days)
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Before anything else."""
        if self._cluster is not None:
            self._cluster.open()
        await self._assignments.clear()
        self._sweeping = asyncio.create_task(self._sweeper.run(), name="sweep")

    def nodes(self) -> Mapping[str, Amount]:
        """What there is to hold: of this machine, or of the cluster."""
        return {HERE: self._machine} if self._cluster is None else self._cluster.nodes or {}

    def alive(self) -> frozenset[Key] | None:
        """The attempts that are worked on; None while the cluster is silent."""
        if self._cluster is not None and self._cluster.nodes is None:
            return None
        return frozenset(key for key, work in self._running.items() if not work.done())

    @property
    def silence(self) -> str:
        """What is told of a cluster that does not answer."""
        if self._cluster is None:
            return ""
        words = f"the Ray cluster at {self._address} does not answer"
        return f"{words}: {self._cluster.problem}" if self._cluster.problem else words

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
        if self._sweeping is not None:
            self._sweeping.cancel()
        for process in self._processes.values():
            process.kill()
        for work in self._running.values():
            work.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._ray.close()
        if self._cluster is not None:
            await self._cluster.close()

    async def _attempt(self, job: Job, key: Key, fence: int) -> None:
        keep = Keeper(self._records, job.id, key[1], fence, self._hub)
        try:
            await self._work(job, key, keep)
        except asyncio.CancelledError:
            cause, said = (Cause.TRAINER_LOST, "the trainer was stopped") if self._closing else (Cause.WORKER_LOST, "")
            await keep.quietly(lambda now: gone(now, key[1], said, cause))
            raise
        except (StaleAttempt, IllegalMove) as error:
            log.info("attempt_given_up", job=job.id, attempt=key[1], message=str(error))
        except DomainError as error:
            if error.reason is Reason.NOT_LEADER:
                return
            log.warning("attempt_failed", job=job.id, attempt=key[1], reason=error.reason.value, message=error.message)
            failed = failure(error)
            await keep.end(failed.cause, failed.message)
        except Exception as error:
            log.exception("attempt_crashed", job=job.id, attempt=key[1])
            message = f"the trainer itself failed: {type(error).__name__}"
            await keep.end(Cause.ERROR, message)
        finally:
            self._processes.pop(key, None)
            self._running.pop(key, None)
            await self._assignments.leave(*key)
            if not self._closing:
                await self._sweeper.forget(job.id)
            self._hub.notify()

    async def _work(self, job: Job, key: Key, keep: Keeper) -> None:
        if job.stage is not Phase.REGISTERING:
            heard = await self._drive(job, key, keep)
            if heard.concluded:
                return
            if not heard.evaluated:
                await keep.change(lambda now, at: gone(now, at, heard.words))
                return
        else:
            await keep.change(prepared)
        now = await keep.now()
        if now.stop:
            await keep.change(lambda found, at: transitions.stopped(found, at, time.time()))
            return
        version = await self._patiently(now, lambda: self._registered(key, keep))
        await keep.change(lambda found, at: transitions.registered(found, at, time.time(), version))

    async def _registered(self, key: Key, keep: Keeper) -> int:
        """The version's number. StaleAttempt when a wish to stop came before the registry was asked for it."""
        job = await keep.now()
        parent = await self._stable.version(job.model) if job.parent is None else job.parent

        async def commit() -> None:
            _, after = await keep.change(lambda found, at: transitions.committed(found, at, time.time(), parent))
            if after.final:
                raise StaleAttempt(f"{job.name} was stopped before it had a version")

        return await self._registering.register(job, self._assignments.folder(*key), parent, commit)

    async def _patiently(
        self, job: Job, ask: Callable[[], Awaitable[Result]], needless: Callable[[], bool] = lambda: False
    ) -> Result:
        """The answer; again and again while somebody does not answer, until it is `needless`.

        Whoever looks at the job's lines sees what it waits for.
        """
        told = ""
        while True:
            try:
                return await ask()
            except DomainError as error:
                if not unavailable(error) or needless():
                    raise
                log.warning("waits", job=job.id, message=error.message)
                if error.message != told:
                    told = error.message
                    await self._say(job, f"waits: {error.message}")
                await asyncio.sleep(AGAIN)

    async def _say(self, job: Job, text: str) -> None:
        line = Event(time.time(), job.attempts[-1].number, LogLine(text, stream=Stream.STDERR))
        await kept(lambda: self._journal.append(job.id, [line]))
        self._hub.notify()

    async def _drive(self, job: Job, key: Key, keep: Keeper) -> Heard:
        on_ray = task(job).place is Place.WORKERS and not job.product
        address = (self._address or await self._ray.address()) if on_ray else ""
        nodes = job.attempts[-1].workers if on_ray and self._address else {}
        folder = await self._patiently(job, lambda: self._assignments.prepare(job, key[1], address, nodes))
        own_ray = self._ray.environment if on_ray and not self._address else {}
        mark = f"{job.id}-{key[1]}"
        process = Process(folder, own_ray, mark, has_lock=job.spec.environment_digest is not None)
        self._processes[key] = process
        heard = Heard(job, process, keep, journal=self._journal, hub=self._hub, go=self._go, drop=self._drop)
        try:
            await heard.all()
        finally:
            process.kill()
            self._processes.pop(key, None)
        return heard

    async def _go(self, job: Job, process: Process) -> say.Go:
        """The version that is stable now, brought; none when there is none.

        It is waited for: without it, gates that compare with it would let everything pass.
        """

        async def ask() -> say.Go:
            version = await self._stable.version(job.model)
            if not version:
                return say.Go()
            folder = self._assignments.folder(job.id, job.attempts[-1].number)
            return say.Go(stable=await self._assignments.stable(job.model, version, folder), stable_version=version)

        try:
            return await self._patiently(job, ask, needless=lambda: process.over)
        except DomainError as error:
            if not unavailable(error) and error.reason is not Reason.VERSION_NOT_FOUND:
                raise
            log.warning("stable_unknown", job=job.id, message=error.message)
            return say.Go()

    async def _drop(self, before: Job, after: Job) -> None:
        """Checkpoints that have left the list; what cannot be removed now goes with the job."""
        listed = {checkpoint.uri for checkpoint in after.checkpoints}
        for checkpoint in before.checkpoints:
            if checkpoint.uri not in listed:
                with contextlib.suppress(DomainError, OSError):
                    await asyncio.to_thread(self._blobs.delete, checkpoint.uri)
