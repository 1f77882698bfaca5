"""What share of a model's requests a version was to get, at any recent moment and at each gateway. Pure.

Envoy gives each request to a version with the declared probability, so the declared share is the probability with which
a request was the candidate's. Around a change nobody can say which weights a request met: from the moment the document
changed until the gateway reports that it applied it, and a second more, nothing is known of that gateway's requests.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.monitor.documents import GatewayReport, Placements, RouteDocument

# Clocks differ, and the report of a gateway is written a moment after Envoy obeyed.
BEFORE_SECONDS = 0.25
AFTER_SECONDS = 1.0
KEPT = 200
# A node that dies leaves the placements, too; then either may be seen first.
MOVED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """Of the two compared versions' requests the candidate was to get `candidate`, 0 to 1."""

    candidate: float
    sticky: bool


@dataclass(slots=True)
class Change:
    """Weights from one moment on. The indices are Consul's, under `epoch`; `applied` says when which gateway had it."""

    begun: float
    weights: Mapping[int, int]
    sticky: bool
    epoch: str
    routes_index: int
    placements_index: int
    applied: dict[str, float] = field(default_factory=dict)

    def share(self, stable: int, candidate: int) -> Share | None:
        """None when neither version has traffic."""
        kept, new = self.weights.get(stable, 0), self.weights.get(candidate, 0)
        return Share(new / (kept + new), self.sticky) if kept + new else None

    def covered_by(self, report: GatewayReport) -> bool:
        """Whether the gateway has obeyed this change, or a later one."""
        return (
            report.epoch == self.epoch
            and report.routes_index >= self.routes_index
            and report.placements_index >= self.placements_index
        )


@dataclass(frozen=True, slots=True)
class Lying:
    """A document and where Consul has it."""

    document: RouteDocument | Placements
    index: int
    epoch: str


class ModelWeights:
    """The history of one model's weights. Times are seconds since 1970 by this process's clock."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._route: Lying | None = None
        self._placements: Lying | None = None
        self._reports: Mapping[str, GatewayReport] = {}
        self._left: dict[tuple[str, str], float] = {}  # version and node -> when it left the placements

    @property
    def nodes(self) -> Mapping[str, tuple[str, ...]]:
        """Version -> nodes, as last published."""
        lying = self._placements.document if self._placements else None
        return lying.versions if isinstance(lying, Placements) else {}

    def see_route(self, document: RouteDocument | None, index: int, epoch: str, now: float) -> None:
        """The route changed. One that vanished together with everything else (another epoch) is no change."""
        if document is None and self._route is not None and self._route.epoch != epoch:
            return
        self._route = Lying(document or RouteDocument(), index, epoch)
        self._changed(now, min(now, _seconds(document.update_time, now)) if document else now)

    def see_placements(self, document: Placements | None, index: int, epoch: str, now: float) -> None:
        """The versions moved; what is on no node gets no requests, whatever its weight."""
        if document is None and self._placements is not None and self._placements.epoch != epoch:
            return
        before = self._nodes()
        self._placements = Lying(document or Placements(), index, epoch)
        self._left = {place: self._left.get(place, now) for place in (before | self._left.keys()) - self._nodes()}
        self._changed(now, now)

    def moved(self, version: int, node: str, now: float) -> bool:
        """Whether the version was taken from the node on purpose: it left the placements before it was gone."""
        return now - self._left.get((str(version), node), now) > MOVED_SECONDS

    def _nodes(self) -> set[tuple[str, str]]:
        return {(version, node) for version, nodes in self.nodes.items() for node in nodes}

    def see_reports(self, reports: Mapping[str, GatewayReport], now: float) -> None:
        """How far every known gateway is."""
        self._reports = dict(reports)
        self._mark(now)

    def latest(self) -> Change | None:
        """What is declared now, obeyed or not."""
        return self._changes[-1] if self._changes else None

    def at(self, gateway: str, time: float) -> Change | None:
        """What the gateway certainly did at that moment; None when that cannot be said."""
        for change in reversed(self._changes):
            until = self._applied(change, gateway) + AFTER_SECONDS
            if time >= until:
                return change
            if time >= change.begun - BEFORE_SECONDS:
                return None
        return None

    def steady(self, gateway: str, begin: float, end: float) -> Change | None:
        """What the gateway certainly did all of that time."""
        change = self.at(gateway, end)
        return change if change is not None and self.at(gateway, begin) is change else None

    def share(self, gateway: str, time: float, stable: int, candidate: int) -> Share | None:
        """The candidate's share at that moment; None when it cannot be said."""
        change = self.at(gateway, time)
        return change.share(stable, candidate) if change else None

    def _applied(self, change: Change, gateway: str) -> float:
        """A gateway that has not reported to Consul counts as the last of those that have."""
        if gateway in self._reports:
            return change.applied.get(gateway, math.inf)
        return max((change.applied.get(known, math.inf) for known in self._reports), default=math.inf)

    def _changed(self, now: float, begun: float) -> None:
        made = self._made(begun)
        if made is None:
            return
        last = self.latest()
        if last is None or (last.weights, last.sticky) != (made.weights, made.sticky):
            made.begun = max(made.begun, last.begun) if last else made.begun
            self._changes.append(made)
        elif last.epoch != made.epoch:
            # The same in a store that was made anew: whoever has not applied it yet reports it by the new index.
            last.epoch, last.routes_index, last.placements_index = made.epoch, made.routes_index, made.placements_index
        self._mark(now)

    def _made(self, begun: float) -> Change | None:
        route, placements = self._route, self._placements
        if route is None or placements is None or route.epoch != placements.epoch:
            return None
        if not isinstance(route.document, RouteDocument) or not isinstance(placements.document, Placements):
            return None
        placed = placements.document
        weights = {e.version: e.weight for e in route.document.versions if e.weight > 0 and placed.has(e.version)}
        return Change(begun, weights, route.document.is_sticky, route.epoch, route.index, placements.index)

    def _mark(self, now: float) -> None:
        """Who obeys a change has obeyed the earlier ones, too."""
        obeyed: set[str] = set()
        for change in reversed(self._changes):
            obeyed |= {name for name, report in self._reports.items() if change.covered_by(report)}
            for name in obeyed:
                change.applied.setdefault(name, now)


def _seconds(moment: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return otherwise
