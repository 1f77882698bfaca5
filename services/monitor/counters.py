"""Envoy's counters as increments per version, safe against restarts of either side. Pure.

A page is what a gateway says at one moment: values that grow for as long as its Envoy lives. A ledger remembers the
last page of one gateway and tells what came since. Values that fell, or a process that is younger than it was, mean a
new life of Envoy: then everything on the page came since. A gateway that could not be read for a while loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.monitor.statuses import is_server_error

WEIGHTED = "weight"
# How exactly the start of an Envoy can be told: its age comes in whole seconds, and a page takes a moment.
START_SLACK_SECONDS = 5.0

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REQUESTS, _BUCKET, _UPTIME = "envoy_bmase_requests{", "envoy_bmase_duration_bucket{", "envoy_server_uptime{"

Series = tuple[str, int, str, str]  # model, version, HTTP code, gRPC status
Arm = tuple[str, int]  # model, version
Buckets = dict[float, int]  # upper edge in ms -> requests up to it; the last edge is infinite


def stats_filter(models: Iterable[str]) -> str:
    """Envoy's `filter`: only the counters of these models, and Envoy's age."""
    names = "|".join(re.escape(model) for model in sorted(models))
    return rf"^(server\.uptime|bmase\.(requests|duration)\.model\.({names})\.version\..*\.via\.{WEIGHTED})$"


@dataclass(frozen=True, slots=True)
class Page:
    """What one gateway says of weighted traffic."""

    requests: Mapping[Series, int]
    buckets: Mapping[Arm, Buckets]
    uptime: float | None = None


@dataclass(slots=True)
class Tally:
    """Requests of one version; `slower` counts by upper edge in ms, not cumulated."""

    requests: int = 0
    errors: int = 0
    durations: Buckets = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.requests += other.requests
        self.errors += other.errors
        for edge, count in other.durations.items():
            self.durations[edge] = self.durations.get(edge, 0) + count


def parse(text: str) -> Page:
    """A page of `/stats/prometheus`. Lines that are not ours are passed over; a broken one raises ValueError.

    Nearly all lines are buckets. Those of a histogram come together with `le` last: their other labels are read once.
    """
    requests: dict[Series, int] = {}
    buckets: dict[Arm, Buckets] = {}
    uptime: float | None = None
    histogram, counts = "", None
    for line in text.splitlines():
        if line.startswith(_BUCKET):
            labels, _, rest = line.rpartition(',le="')
            if labels != histogram:
                arm = _arm(_labels(labels))
                histogram, counts = labels, None if arm is None else buckets.setdefault(arm, {})
            if counts is not None:
                edge, _, count = rest.partition('"} ')
                counts[float(edge)] = int(count)
        elif line.startswith(_REQUESTS):
            found, value = _labels(line), int(line.rpartition("} ")[2])
            if (arm := _arm(found)) is not None:
                series = (*arm, found.get("code", ""), found.get("status", ""))
                requests[series] = requests.get(series, 0) + value
        elif line.startswith(_UPTIME):
            uptime = float(line.rpartition("} ")[2])
    return Page(requests, buckets, uptime)


def _labels(line: str) -> dict[str, str]:
    return dict(_LABEL.findall(line))


def _arm(labels: Mapping[str, str]) -> Arm | None:
    """Whose traffic it is; None when it was not assigned by weight, or no version answered."""
    if labels.get("via") != WEIGHTED or not labels.get("version", "").isdecimal():
        return None
    return labels["model"], int(labels["version"])


def tallies(page: Page) -> dict[Arm, Tally]:
    """Everything on a page, by version."""
    found: dict[Arm, Tally] = {}
    for (model, version, code, status), count in page.requests.items():
        tally = found.setdefault((model, version), Tally())
        tally.requests += count
        tally.errors += count if is_server_error(status, int(code) if code.isdecimal() else 0) else 0
    for arm, buckets in page.buckets.items():
        found.setdefault(arm, Tally()).durations = _apart(buckets)
    return found


def _apart(cumulated: Buckets) -> Buckets:
    apart, below = {}, 0
    for edge in sorted(cumulated):
        apart[edge] = max(0, cumulated[edge] - below)
        below = max(below, cumulated[edge])
    return apart


@dataclass(frozen=True, slots=True)
class Taken:
    """What came since the last page. `reset`: the gateway's Envoy began anew in between."""

    increments: Mapping[Arm, Tally]
    reset: bool


class Ledger:
    """The last page of one gateway. A model's first page is where counting begins."""

    def __init__(self) -> None:
        self._requests: dict[Series, int] = {}
        self._buckets: dict[Arm, Buckets] = {}
        self._models: set[str] = set()
        self._started: float | None = None

    def take(self, page: Page, models: Collection[str], now: float) -> Taken:
        """The increments of those models that were read before; what else is on the page is where they begin."""
        known = self._models & set(models)
        started = None if page.uptime is None else now - page.uptime
        reset = self._reset(page, known, started)
        if reset:
            self._requests, self._buckets = {}, {}
        increments = tallies(self._since(page, known))
        self._requests = {series: value for series, value in page.requests.items() if series[0] in models}
        self._buckets = {arm: dict(buckets) for arm, buckets in page.buckets.items() if arm[0] in models}
        self._models = set(models)
        # The estimate wanders with the clock: only a new life moves it.
        if reset or self._started is None:
            self._started = started
        return Taken(increments, reset)

    def forget(self, model: str) -> None:
        """The model's next page is where its counting begins again."""
        self._models.discard(model)

    def _reset(self, page: Page, known: set[str], started: float | None) -> bool:
        if started is not None and self._started is not None and started > self._started + START_SLACK_SECONDS:
            return True
        return any(page.requests.get(s, 0) < value for s, value in self._requests.items() if s[0] in known)

    def _since(self, page: Page, known: set[str]) -> Page:
        requests = {
            series: value - self._requests.get(series, 0)
            for series, value in page.requests.items()
            if series[0] in known
        }
        buckets = {
            arm: {edge: value - self._buckets.get(arm, {}).get(edge, 0) for edge, value in cumulated.items()}
            for arm, cumulated in page.buckets.items()
            if arm[0] in known
        }
        return Page(requests, buckets)

    def to_json(self) -> dict[str, Any]:
        """What the next process needs to go on counting where this one stopped."""
        return {
            "started": self._started,
            "models": sorted(self._models),
            "requests": [[*series, value] for series, value in self._requests.items()],
            "buckets": [[*arm, [[str(e), n] for e, n in b.items()]] for arm, b in self._buckets.items()],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Ledger:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        made = cls()
        made._started = None if kept["started"] is None else float(kept["started"])
        made._models = set(kept["models"])
        made._requests = {(m, int(v), c, s): int(n) for m, v, c, s, n in kept["requests"]}
        made._buckets = {(m, int(v)): {float(e): int(n) for e, n in b} for m, v, b in kept["buckets"]}
        return made
