"""One comparison: what is told to its judge, and what is remembered of it. Pure; all times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from services.monitor.collector import Increment, Look
from services.monitor.counters import Buckets, Tally
from services.monitor.deliveries import News
from services.monitor.durations import percentiles, slower
from services.monitor.faults import Fault, failed, fault
from services.monitor.infra_events import Disturbance
from services.monitor.infra_events import Kind as Disturbed
from services.monitor.intake.events import BadEvent
from services.monitor.judge.evidence import Counts, Evidence, Policy
from services.monitor.judge.interruptions import Infra
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.slow import Histogram
from services.monitor.judge.verdict import Judge
from services.monitor.outcomes.model import OutcomeEvent
from services.monitor.requests import NewComparison
from services.monitor.requests import Policy as AskedPolicy
from services.monitor.waiting import Waiting
from services.monitor.weights import Change, ModelWeights, Share

log = structlog.get_logger(__name__)

# Gateways need a moment to be told that they shall report bad requests; what fails before is in nobody's news.
ARMED_SECONDS = 3.0
_INFRA = {
    Disturbed.NODE_LOST: Infra.NODE_LOST,
    Disturbed.GATEWAY_SILENT: Infra.GATEWAY_SILENT,
    Disturbed.COUNTERS_RESET: Infra.COUNTERS_RESET,
    Disturbed.MONITOR_RESTARTED: Infra.MONITOR_RESTARTED,
}


def judge_policy(asked: AskedPolicy) -> Policy:
    """With the judge's defaults where nothing was asked."""
    default = Policy()
    return Policy(
        alpha=asked.alpha or default.alpha,
        promote_alpha=asked.promote_alpha or default.promote_alpha,
        margin=asked.margin or default.margin,
        slow_ms=asked.slow_ms,
        burst_seconds=asked.burst.total_seconds() or default.burst_seconds,
        max_disagreement=asked.max_disagreement,
        ignore_slow=asked.ignore_slow,
        ignore_outcomes=asked.ignore_outcomes,
    )


class Comparison:
    """A candidate against its stable version, until it is ended."""

    def __init__(
        self, definition: NewComparison, judge: Judge, started: float, before: Histogram | None = None
    ) -> None:
        self.definition = definition
        self.judge = judge
        self.started = started
        self.ended: float | None = None
        self.evidence: Evidence = judge.evidence(started)
        self.skipped = 0  # events of moments in which nobody can say what the weights were
        self._largest = 0.0  # share that the candidate had
        self._waiting = {kind: Waiting.begin(before) for kind in (Kind.ERRORS, Kind.SLOW)}
        self._failures, self._slowness = News(), News()
        # What can be counted of slow requests; the threshold need not be a bound of the gateways' histogram.
        self._slow_edge = next((b for b in before.bounds if b >= judge.slow_ms > 0), 0.0) if before else judge.slow_ms
        self._durations: dict[Side, Buckets] = {side: {} for side in Side}
        self._told: dict[tuple[str, Side], Counts] = {}  # bad requests since the last look, by gateway

    @classmethod
    def begin(cls, definition: NewComparison, before: Histogram | None, now: float) -> Comparison:
        """`before`: durations of the stable version, by which slowness and the patience of judging are fixed."""
        judge = Judge.begin(judge_policy(definition.policy), definition.stable, definition.candidate, before)
        return cls(definition, judge, now, before)

    @property
    def order(self) -> tuple[float, str]:
        """Later ones are greater."""
        return self.started, self.definition.name

    @property
    def model(self) -> str:
        return self.definition.model.model

    @property
    def rolled_back(self) -> bool:
        return self.judge.rolled_back

    def side(self, version: int) -> Side | None:
        """None for a version that is not compared."""
        sides = {self.definition.stable: Side.STABLE, self.definition.candidate: Side.CANDIDATE}
        return sides.get(version)

    def bad(self, event: BadEvent) -> None:
        """One bad request, as a gateway tells it; judged by `release`."""
        side = self.side(event.version)
        if side is None or event.time < self.started:
            return
        self._received(event, side)
        match fault(event, self.judge.slow_ms):
            case Fault.UNANSWERED:  # an error to its client, whoever is to blame
                self._tell(event, side, Counts(errors=1))
                self.judge.unanswered(event.time, side)
            case Fault.ERROR:
                self._tell(event, side, Counts(errors=1))
                self._waiting[Kind.ERRORS].put(event)
            case Fault.SLOW:
                self._tell(event, side, Counts(slow=1))
                self._waiting[Kind.SLOW].put(event)

    def release(self, now: float, weights: ModelWeights) -> None:
        """Judges the bad requests before which no other can have begun that is not known yet."""
        for kind, waiting in self._waiting.items():
            for event in waiting.due(now):
                self._judged(kind, event, weights)

    def _received(self, event: BadEvent, side: Side) -> None:
        if event.time >= self.started + ARMED_SECONDS:
            if failed(event):
                self._failures.received(event.gateway, side)
            if 0 < self._slow_edge <= event.duration_ms:
                self._slowness.received(event.gateway, side)

    def _tell(self, event: BadEvent, side: Side, what: Counts) -> None:
        place = (event.gateway, side)
        self._told[place] = self._told.get(place, Counts()) + what

    def _judged(self, kind: Kind, event: BadEvent, weights: ModelWeights) -> None:
        side = self.side(event.version)
        assert side is not None, "only events of compared versions wait"
        share = self._share(weights.at(event.gateway, event.time))
        self.skipped += share is None
        candidate, sticky = _parts(share)
        self.judge.bad(kind, side, event.client, event.time, share=candidate, sticky=sticky and event.stuck)

    def outcome(self, event: OutcomeEvent, weights: ModelWeights) -> None:
        """What turned out of one request."""
        side = self.side(event.version)
        if side is None or event.time < self.started:
            return
        share = self._share(weights.at("", event.time)) if event.sampled else self._greatest(weights)
        candidate, sticky = _parts(share)
        client = event.client or event.request_id
        self.judge.outcome(side, client, event.time, event.wrong, share=candidate, sticky=sticky)

    def _greatest(self, weights: ModelWeights) -> Share | None:
        """For a request of an unknown time: with any smaller share evidence would be weaker.

        Nobody knows whose request it was: it stands for itself, which sticky routes do not allow.
        """
        share = self._share(weights.latest())
        if share is None or share.sticky:
            return None
        return Share(max(self._largest, share.candidate), sticky=False)

    def disturbed(self, what: Disturbance) -> None:
        """Something happened to machines; what concerns other models or versions is passed over."""
        if what.model not in ("", self.model):
            return
        side = self.side(what.version) if what.version else None
        if what.version and side is None:
            return
        if what.kind is Disturbed.COUNTERS_RESET:
            for news in (self._failures, self._slowness):
                news.reset(what.gateway)
        self.judge.infra(what.time, _INFRA[what.kind], side)

    def counted(self, look: Look, weights: ModelWeights) -> None:
        """What the gateways counted since the last look. Without any answer nothing is known to have happened."""
        if not look.answered:
            return
        if look.silent:
            self.judge.silent(look.time)
        latest = weights.latest()
        share = self._share(latest)
        self._largest = max(self._largest, share.candidate if share else 0.0)
        known = {side: Counts() for side in Side}
        unknown = {side: self._homeless(side, look) for side in Side}
        settled = False
        for increment in look.increments:
            steady = share is not None and weights.steady(increment.gateway, increment.begin, increment.end) is latest
            settled = settled or steady
            for side in Side:
                (known if steady else unknown)[side] += self._of(increment, side)
        for side in Side:
            (known if settled else unknown)[side] += self._missing(side, look)
        self._count(look.time, unknown, None)
        if settled:
            self._count(look.time, known, share)
        for side in Side:
            self.judge.latency(side, *percentiles(self._durations[side]))

    def _homeless(self, side: Side, look: Look) -> Counts:
        """Bad requests told by gateways whose counters nobody knows."""
        places = [place for place in self._told if place[1] is side and place[0] not in look.gateways]
        return sum((self._told.pop(place) for place in places), Counts())

    def _of(self, increment: Increment, side: Side) -> Counts:
        tally = self._tally(increment, side)
        for edge, count in tally.durations.items():
            self._durations[side][edge] = self._durations[side].get(edge, 0) + count
        return replace(self._told.pop((increment.gateway, side), Counts()), requests=tally.requests)

    def _missing(self, side: Side, look: Look) -> Counts:
        """Bad requests that were counted and never told; they count, and forbid a promotion for a while."""
        armed = [i for i in look.increments if i.begin >= self.started + ARMED_SECONDS]
        tallies = {increment.gateway: self._tally(increment, side) for increment in armed}
        errors = self._failures.counted(side, {at: tally.errors for at, tally in tallies.items()}, look.time)
        slow = {at: slower(tally.durations, self._slow_edge) or 0 for at, tally in tallies.items()}
        late = self._slowness.counted(side, slow if self._slow_edge else {}, look.time)
        self.judge.lost(look.time, errors + late)
        return Counts(errors=errors, slow=late)

    def _tally(self, increment: Increment, side: Side) -> Tally:
        version = self.definition.stable if side is Side.STABLE else self.definition.candidate
        return increment.tallies.get((self.model, version)) or Tally()

    def _count(self, time: float, counts: Mapping[Side, Counts], share: Share | None) -> None:
        candidate, sticky = _parts(share)
        self.judge.counts(time, counts[Side.STABLE], counts[Side.CANDIDATE], share=candidate, sticky=sticky)

    def _share(self, change: Change | None) -> Share | None:
        return change.share(self.definition.stable, self.definition.candidate) if change else None

    def refresh(self, now: float) -> None:
        """Makes the evidence that is shown."""
        self.evidence = self.judge.evidence(now)

    def end(self, now: float) -> None:
        """No more is judged; ending twice is the same."""
        if self.ended is None:
            self.refresh(now)
            self.ended = now
            for waiting in self._waiting.values():
                waiting.clear()
            # Who failed does not matter any more, only what came of it.
            for clients in (self.judge.labels.clients, *(each.clients for each in self.judge.suspects.values())):
                clients.counted.clear()
                clients.places.clear()
            for suspect in self.judge.suspects.values():
                suspect.trail.clear()

    def to_json(self) -> dict[str, Any]:
        """Everything that the next process needs to go on."""
        return {
            "definition": self.definition.to_json(),
            "judge": self.judge.to_json(),
            "slow_ms": self.judge.slow_ms,
            "started": self.started,
            "ended": self.ended,
            "skipped": self.skipped,
            "largest": self._largest,
            "waiting": {kind: waiting.to_json() for kind, waiting in self._waiting.items()},
            "failures": self._failures.to_json(),
            "slowness": self._slowness.to_json(),
            "slow_edge": self._slow_edge,
            "told": [[*place, counts.errors, counts.slow] for place, counts in self._told.items()],
            "durations": {side: [[str(e), n] for e, n in b.items()] for side, b in self._durations.items()},
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Comparison:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        definition = NewComparison.model_validate(kept["definition"])
        made = cls(definition, _judge(definition, kept), kept["started"])
        made.skipped = int(kept["skipped"])
        made._largest = float(kept["largest"])
        made._waiting = {Kind(kind): Waiting.from_json(waiting) for kind, waiting in kept["waiting"].items()}
        made._failures, made._slowness = (News.from_json(kept[what]) for what in ("failures", "slowness"))
        made._slow_edge = float(kept["slow_edge"])
        made._told = {(at, Side(side)): Counts(errors=bad, slow=slow) for at, side, bad, slow in kept["told"]}
        made._durations = {side: {float(e): int(n) for e, n in kept["durations"][side]} for side in Side}
        made.refresh(kept["ended"] or made.judge.traffic.time or made.started)
        made.ended = kept["ended"]
        return made


def _judge(definition: NewComparison, kept: Mapping[str, Any]) -> Judge:
    """The kept judge. What another release of the monitor wrote is judged anew, from E = 1, by the same threshold."""
    try:
        return Judge.from_json(kept["judge"])
    except ValueError:
        if kept["ended"] is not None:
            raise
        log.warning("monitor.judged_anew", comparison=definition.name)
        slow_ms = float(kept["slow_ms"])
        policy = replace(judge_policy(definition.policy), slow_ms=slow_ms, ignore_slow=slow_ms == 0)
        return Judge.begin(policy, definition.stable, definition.candidate)


def _parts(share: Share | None) -> tuple[float | None, bool]:
    """As the judge takes it."""
    return (share.candidate, share.sticky) if share else (None, False)
