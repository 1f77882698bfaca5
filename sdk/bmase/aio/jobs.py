"""Jobs that make versions, asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from bmase.aio.wire import Wire
from bmase.core import jobs
from bmase.trainer.v1 import trainer_pb2 as pb


class Jobs:
    """Training, importing, combining: whatever makes a version. `bmase.core.jobs.job` makes the message."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(self, job: pb.Job) -> pb.Job:
        """Begins; it needs nobody to go on, `watch` follows it."""
        return await self._wire.send(jobs.create(job))

    async def get(self, name: str) -> pb.Job:
        """One job, by its id."""
        return await self._wire.send(jobs.get(name))

    def list(self, where: str = "", *, order_by: str = "", page_size: int = 0) -> AsyncIterator[pb.Job]:
        """Jobs that match a filter such as `model:"dig*" AND active=true`, latest first."""
        return self._wire.items(jobs.list_all(where, order_by, page_size))

    async def cancel(self, name: str, message: str = "") -> pb.Job:
        """Ends it; one that runs shows `stop_cause` until its processes are gone."""
        return await self._wire.send(jobs.cancel(name, message))

    def watch(
        self,
        name: str,
        *,
        from_offset: int = 0,
        kinds: Sequence[pb.WatchJobRequest.Kind] = (),
        timeout: float | None = None,
    ) -> AsyncIterator[pb.JobEvent]:
        """What the job did and says after an offset, until it has ended; over broken connections.

        Changes of its state are among it whatever `kinds` are wanted. TimedOut after `timeout` seconds.
        """
        return self._wire.follow(jobs.watch(name, from_offset, kinds), timeout)

    def metrics(self, name: str, metric: str = "", *, page_size: int = 0) -> AsyncIterator[pb.MetricPoint]:
        """One series by step, or without a name the last point of each."""
        return self._wire.items(jobs.metrics(name, metric, page_size))

    async def wait(self, name: str) -> pb.Job:
        """The job when it has ended."""
        async for _ in self.watch(name, kinds=[pb.WatchJobRequest.KIND_STATE]):
            pass
        return await self.get(name)
