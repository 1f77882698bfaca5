"""Pipelines and schedules, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bmase.core import pipelines, schedules
from bmase.sync.wire import Wire
from bmase.trainer.v1 import pipeline_pb2 as pb
from bmase.trainer.v1 import schedule_pb2


class Pipelines:
    """From data to a version in use, as one thing: retrain, evaluate, register, grey release."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def start(self, plan: pb.PipelinePlan, message: str = "") -> pb.Pipeline:
        """Begins (see `bmase.plans` for files); it needs nobody to go on, `watch` follows it."""
        return self._wire.send(pipelines.create(plan, message))

    def get(self, pipeline: str) -> pb.Pipeline:
        """One pipeline, by its id."""
        return self._wire.send(pipelines.get(pipeline))

    def list(self, where: str = "", *, page_size: int = 0) -> Iterator[pb.Pipeline]:
        """Pipelines that match a filter, latest first."""
        return self._wire.items(pipelines.list_all(where, page_size))

    def cancel(self, pipeline: str, message: str = "") -> pb.Pipeline:
        """It is not to go on: its job, release or first deployment is taken back."""
        return self._wire.send(pipelines.cancel(pipeline, message))

    def watch(self, pipeline: str) -> Iterator[pb.Pipeline]:
        """The pipeline now and at each change, until it is over; over broken connections."""
        return self._wire.follow(pipelines.follow(pipeline))

    def watch_all(self, model: str | None = None) -> Iterator[pb.Pipeline]:
        """All that have not ended, and each as it changes and ends."""
        return self._wire.follow(pipelines.follow_all(model))

    def wait(
        self,
        pipeline: str,
        progress: Callable[[pb.Pipeline], None] = lambda _seen: None,
        *,
        timeout: float | None = None,
    ) -> pb.Pipeline:
        """Until it is over, in whatever way."""
        seen = pb.Pipeline()
        for seen in self._wire.follow(pipelines.follow(pipeline), timeout):
            progress(seen)
        return seen

    def events(self, pipeline: str, *, page_size: int = 0) -> Iterator[pb.PipelineEvent]:
        """Everything that became of it, in order."""
        return self._wire.items(pipelines.events(pipeline, page_size))


class Schedules:
    """When a pipeline is started without a hand."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, schedule: schedule_pb2.Schedule) -> schedule_pb2.Schedule:
        """See `bmase.plans` for files; repeated with the same content it is the one that is there."""
        return self._wire.send(schedules.create(schedule))

    def get(self, schedule: str) -> schedule_pb2.Schedule:
        """One schedule, with what it waits for."""
        return self._wire.send(schedules.get(schedule))

    def list(self, where: str = "", *, page_size: int = 0) -> Iterator[schedule_pb2.Schedule]:
        """Schedules that match a filter, by name."""
        return self._wire.items(schedules.list_all(where, page_size))

    def update(self, schedule: schedule_pb2.Schedule, fields: Iterable[str]) -> schedule_pb2.Schedule:
        """Changes these fields: plan, trigger, overlap, paused. An etag in the schedule has to match."""
        return self._wire.send(schedules.update(schedule, fields))

    def pause(self, schedule: str) -> schedule_pb2.Schedule:
        """It fires only when asked; pipelines that run go on."""
        return self._wire.send(schedules.pause(schedule, True))

    def resume(self, schedule: str) -> schedule_pb2.Schedule:
        """It goes on from here; times meanwhile are not caught up."""
        return self._wire.send(schedules.pause(schedule, False))

    def delete(self, schedule: str, *, etag: str = "") -> None:
        """Its pipelines stay and go on."""
        self._wire.send(schedules.delete(schedule, etag))

    def run(self, schedule: str, message: str = "") -> schedule_pb2.RunScheduleResponse:
        """A pipeline now, also while it is paused; the overlap policy still holds."""
        return self._wire.send(schedules.run(schedule, message))

    def fires(self, schedule: str, *, page_size: int = 0) -> Iterator[schedule_pb2.ScheduleFire]:
        """What there was to fire for, and what became of it; latest first."""
        return self._wire.items(schedules.fires(schedule, page_size))
