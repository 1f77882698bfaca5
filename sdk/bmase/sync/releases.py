"""Releases and what the monitor sees, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bmase.core import monitoring, releases
from bmase.errors import TimedOut
from bmase.monitor.v1 import monitor_pb2
from bmase.patcher.v1 import release_pb2 as pb
from bmase.sync.wire import Wire


class Releases:
    """Moving a model's traffic to another version, on evidence."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def start(self, model: str, candidate: int | str = "latest", policy: pb.ReleasePolicy | None = None) -> pb.Release:
        """Begins; it needs nobody to go on, `watch` follows it."""
        return self._wire.send(releases.create(model, candidate, policy))

    def get(self, release: str) -> pb.Release:
        """One release, by its id."""
        return self._wire.send(releases.get(release))

    def list(self, model: str | None = None, *, active: bool = False, page_size: int = 0) -> Iterator[pb.Release]:
        """Releases of one model or of all, latest first."""
        return self._wire.items(releases.list_all(model, active, page_size))

    def watch(self, release: str) -> Iterator[pb.Release]:
        """The release now, at each change and once a second, until it is over; over broken connections."""
        return self._wire.follow(releases.follow(release))

    def wait(
        self,
        release: str,
        progress: Callable[[pb.Release], None] = lambda _seen: None,
        *,
        decided: bool = True,
        timeout: float | None = None,
    ) -> pb.Release:
        """Until all traffic went one way or the other (or, not `decided`, until nothing is left to do).

        TimedOut says how it was seen last.
        """
        reached = releases.is_decided if decided else releases.is_over
        seen = pb.Release()
        try:
            for seen in self._wire.follow(releases.follow(release), timeout):
                progress(seen)
                if reached(seen):
                    break
        except TimedOut:
            raise releases.late(release, seen, timeout) from None
        return seen

    def pause(self, release: str) -> pb.Release:
        """Stays at the present weights until resumed; a bad candidate is rolled back all the same."""
        return self._wire.send(releases.pause(release))

    def resume(self, release: str) -> pb.Release:
        """Goes on; also opens a gate at which it waits."""
        return self._wire.send(releases.resume(release))

    def promote(self, release: str, *, full: bool = False) -> pb.Release:
        """To the next step now, or with `full` to all of the traffic, without waiting for evidence."""
        return self._wire.send(releases.promote(release, full))

    def rollback(self, release: str, message: str = "") -> pb.Release:
        """Back to the stable version at once; also after promotion, while the old version is kept."""
        return self._wire.send(releases.rollback(release, message))

    def events(self, release: str, *, page_size: int = 0) -> Iterator[pb.ReleaseEvent]:
        """Everything that was decided and done, with the evidence at that moment."""
        return self._wire.items(releases.events(release, page_size))


class Monitor:
    """Samples, outcomes, drift, alerts."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def capture(self, model: str) -> monitor_pb2.Capture:
        """How much of a model's traffic is sampled, and what came of it."""
        return self._wire.send(monitoring.get_capture(model))

    def set_capture(self, capture: monitor_pb2.Capture) -> monitor_pb2.Capture:
        """Replaces the settings as a whole; take those that `capture` gave and change them."""
        return self._wire.send(monitoring.update_capture(capture))

    def samples(
        self, model: str, version: int = 0, *, wrong: bool = False, page_size: int = 0
    ) -> Iterator[monitor_pb2.Sample]:
        """Sampled requests, latest first."""
        return self._wire.items(monitoring.list_samples(model, version, wrong, page_size))

    def report(self, model: str, outcomes: Iterable[monitor_pb2.Outcome]) -> monitor_pb2.ReportOutcomesResponse:
        """What turned out to be right, however many; the answer counts all of them."""
        told, waiting = monitor_pb2.ReportOutcomesResponse(), list(outcomes)
        while waiting:
            part, waiting = waiting[: monitoring.MAX_OUTCOMES], waiting[monitoring.MAX_OUTCOMES :]
            answer = self._wire.send(monitoring.report_outcomes(model, part))
            told.joined += answer.joined
            told.waiting += answer.waiting
            told.repeated += answer.repeated
        return told

    def replay(
        self, model: str, stable: int, candidate: int, *, count: int = 0, tolerance: float = 0
    ) -> Iterator[monitor_pb2.ReplaySamplesResponse]:
        """Sampled requests to both versions, compared; the last message has the whole result."""
        return self._wire.stream(monitoring.replay(model, stable, candidate, count, tolerance))

    def put_reference(
        self,
        model: str,
        version: int,
        rows: monitor_pb2.PutReferenceRequest,
    ) -> monitor_pb2.Reference:
        """Rows that live traffic is compared with (see `bmase.references`); only sketches of them are kept."""
        return self._wire.send(monitoring.put_reference(model, version, rows))

    def drift(self, model: str, version: int, *, limit: int = 0) -> monitor_pb2.DriftReport:
        """How live traffic differs from the reference, what moved most first."""
        return self._wire.send(monitoring.get_drift(model, version, limit))

    def compare(self, model: str, stable: int, candidate: int) -> monitor_pb2.VersionComparison:
        """Two versions side by side on live traffic."""
        return self._wire.send(monitoring.compare(model, stable, candidate))

    def alerts(
        self, model: str | None = None, *, include_resolved: bool = False, page_size: int = 0
    ) -> Iterator[monitor_pb2.Alert]:
        """Alerts, latest first."""
        return self._wire.items(monitoring.list_alerts(model, include_resolved, page_size))

    def acknowledge(self, alert: str, by: str = "") -> monitor_pb2.Alert:
        """Somebody looks into it."""
        return self._wire.send(monitoring.acknowledge(alert, by))

    def resolve(self, alert: str) -> monitor_pb2.Alert:
        """It is over."""
        return self._wire.send(monitoring.resolve(alert))

    def watch_alerts(self, model: str | None = None) -> Iterator[monitor_pb2.Alert]:
        """Open alerts, and each as it changes."""
        return self._wire.follow(monitoring.watch_alerts(model))

    def comparison(self, release: str) -> monitor_pb2.Comparison:
        """What a release is judged on, now."""
        return self._wire.send(monitoring.get_comparison(release))

    def comparisons(self, model: str | None = None, *, page_size: int = 0) -> Iterator[monitor_pb2.Comparison]:
        """Comparisons, latest first."""
        return self._wire.items(monitoring.list_comparisons(model, page_size))
