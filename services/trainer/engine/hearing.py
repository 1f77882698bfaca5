"""What the driver of an attempt says, kept as changes and lines of its job."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial

from services.kit.hub import Hub
from services.trainer.engine import attempt as say
from services.trainer.engine import keeping
from services.trainer.engine.keeping import Keeper
from services.trainer.engine.process import Process
from services.trainer.engine.telling import latest_progress
from services.trainer.jobs import transitions
from services.trainer.jobs.events import Event, LogLine, Metrics, Stream
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.state import Checkpoint, GateResult, Job, Progress

MOST_AT_ONCE = 500  # lines and metrics in one transaction
CALM = 0.2  # seconds between two transactions of what a driver says

Go = Callable[[Job, Process], Awaitable[say.Go]]  # what the driver is told before it evaluates
Drop = Callable[[Job, Job], Awaitable[None]]  # of the job before and after: checkpoints that have left the list


class Heard:
    """What one driver has come to."""

    def __init__(
        self, job: Job, process: Process, keep: Keeper, *, journal: JobJournal, hub: Hub, go: Go, drop: Drop
    ) -> None:
        self._job, self._process, self._keep, self._journal = job, process, keep, journal
        self._hub, self._go, self._drop = hub, go, drop
        self.evaluated = False
        self.concluded = False  # by a verdict: there is nothing to register
        self.words = ""

    async def all(self) -> None:
        """From its start to its end."""
        async with contextlib.aclosing(batches(self._process.said())) as said:
            async for batch in said:
                await self.hear(batch)
        self.words = await self._process.ended()

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
            await keeping.kept(partial(self._journal.append, self._job.id, some))
            del chatter[:MOST_AT_ONCE]
            self._hub.notify()  # whoever watches the job looks again

    async def _one(self, said: say.Said) -> None:
        now = time.time()
        match said:
            case say.Prepared():
                await self._keep.change(keeping.prepared)
                if self._job.product:
                    await self._process.go(await self._go(self._job, self._process))
            case say.Progressed():
                progress = Progress(said.step, said.total, said.epoch, said.message)
                await self._keep.change(lambda job, at: transitions.progressed(job, at, progress))
            case say.Checkpointed():
                kept = said.kept
                made = Checkpoint(kept.step, kept.key, kept.digest, kept.size, time=now)
                await self._drop(*await self._keep.change(lambda job, at: transitions.checkpointed(job, at, made)))
            case say.Trained():
                digest = said.product.digest
                await self._keep.change(lambda job, at: transitions.trained(job, at, now, digest))
                await self._process.go(await self._go(self._job, self._process))
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
                await self._keep.change(lambda job, at: keeping.ended(job, at, cause, message))


def _event(said: say.Said, attempt: int) -> Event | None:
    match said:
        case say.Measured():
            return Event(said.time, attempt, Metrics(said.step, dict(said.values)))
        case say.Logged():
            stream = Stream.STDERR if said.stderr else Stream.STDOUT
            return Event(said.time, attempt, LogLine(said.text, said.worker, stream))
    return None


async def batches(said: AsyncIterator[say.Said]) -> AsyncGenerator[list[say.Said], None]:
    """What has come meanwhile, together. Its end, or its error, comes after everything that was said."""
    waiting: asyncio.Queue[say.Said | None] = asyncio.Queue(MOST_AT_ONCE)

    async def read() -> None:
        try:
            async for each in said:
                await waiting.put(each)
        except Exception:
            await waiting.put(None)
            raise
        await waiting.put(None)  # not when it is cancelled: then nobody listens, and the queue may be full

    reader = asyncio.create_task(read())
    try:
        over = False
        while not over:
            batch = [await waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            over = None in batch
            if found := [each for each in batch if each is not None]:
                yield found
                await asyncio.sleep(CALM)
        await reader
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await reader
