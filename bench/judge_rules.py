"""The rules that bench/judge.py compares, over many simulated releases at once.

`judge` is services/monitor/judge once more, in numpy: the same numbers, event by event, for all releases of a chunk
at a time. A test holds it against the real one, and the bench does so for a sample of every cell. The others look at
errors only, as one would set them up by their documents:

- `ztest`: two-proportion z-test, pooled, one-sided at alpha, at every look (once a bin) from 30 requests of the
  candidate
- `flagger`: each minute the candidate's success rate has to be 99 %; a minute without requests fails, too; the fifth
  failed check rolls back (they are not forgiven: `FailedChecks` in flagger's pkg/controller/scheduler.go only grows)
- `kayenta`: each half hour, from rates by the minute, the Mann-Whitney test of Netflix' judge in Spinnaker: bad when
  the 98 % interval of the shift between both is above a quarter of the estimated shift"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bench.judge_streams import Bools, Cell, Events, Floats, Ints, Streams
from services.monitor.judge import bounds, eprocess, split
from services.monitor.judge.answer import WATCH
from services.monitor.judge.evidence import Policy
from services.monitor.judge.kinds import Kind, limits

POLICY = replace(Policy(), slow_ms=50.0)
LIMITS = limits(POLICY.alpha, [Kind.ERRORS, Kind.SLOW, Kind.OUTCOMES])
NEVER = np.inf
RATIOS = np.array(eprocess.RATIOS)
LOG_RATIOS = np.log(RATIOS)
LOOK_SECONDS, LOOK_BINS = 10.0, 6
MINUTE = 60.0


@dataclass
class Found:
    """When each release was rolled back by a rule, and when it was first promoted; seconds, NEVER if not."""

    rollback: Floats
    promoted: Floats


@dataclass
class Path:
    """Evidence of one kind after each event, in logarithms."""

    time: Floats
    log: Floats
    count: Ints
    crossed: Floats

    def at(self, moments: Floats) -> Floats:
        """Evidence at each moment, one row a release."""
        begun = np.zeros((len(self.log), 1))
        logs = np.concatenate((begun, self.log), axis=1)
        found = np.empty((len(logs), len(moments)))
        for row, count in enumerate(self.count):
            found[row] = logs[row, np.searchsorted(self.time[row, :count], moments, side="right")]
        return found


def evidence(cell: Cell, events: Events, limit: float, window: float = POLICY.burst_seconds) -> Path:
    """The e-process over all events, of all releases in step: the k-th event of each, for every k."""
    releases, most = events.time.shape
    shape = (releases, cell.clients)
    last = np.full(shape, -np.inf)
    low, high = np.zeros(shape), np.ones(shape)
    process = _Processes(releases)
    share = cell.share[events.bin(cell)]
    period = cell.periods[events.bin(cell)]
    logs, now_log, crossed = np.zeros((most, releases)), np.zeros(releases), np.full(releases, NEVER)
    for k in range(most):
        rows = np.flatnonzero(k < events.count)
        client, candidate, now = events.client[rows, k], events.candidate[rows, k], events.time[rows, k]
        process.new_shares(rows, period[rows, k])
        if cell.sticky:
            chance = _places(low, high, rows, client, candidate, share[rows, k])
        else:
            first = now - last[rows, client] >= window
            last[rows[first], client[first]] = now[first]
            chance = np.where(first, share[rows, k], 0.0)
        told = (chance > 0) & (chance < 1)
        rows = rows[told]
        process.observe(rows, candidate[told], chance[told])
        now_log[rows] = process.log_evidence(rows)
        logs[k] = now_log
        over = rows[(now_log[rows] >= math.log(limit)) & (crossed[rows] == NEVER)]
        crossed[over] = events.time[over, k]
    return Path(events.time, logs.T, events.count, crossed)


def _places(low: Floats, high: Floats, rows: Ints, client: Ints, candidate: Bools, share: Floats) -> Floats:
    """What each sticky client's event tells; its place is narrowed."""
    under, over = low[rows, client], high[rows, client]
    low[rows, client] = np.where(candidate, under, np.maximum(under, share))
    high[rows, client] = np.where(candidate, np.minimum(over, share), over)
    return (share - under) / (over - under)


class _Processes:
    """`EProcess`, one a row."""

    def __init__(self, releases: int) -> None:
        self.logs = np.tile(eprocess.EProcess.begin().logs, (releases, 1))
        self.starts = np.zeros(releases, np.int64)
        self.since = np.zeros(releases, np.int64)
        self.period = np.zeros(releases, np.int64)

    def new_shares(self, rows: Ints, period: Ints) -> None:
        behind = rows[self.period[rows] < period]
        while len(behind):
            self._begin_again(behind)
            self.period[behind] += 1
            behind = rows[self.period[rows] < period]

    def observe(self, rows: Ints, candidate: Bools, share: Floats) -> None:
        due = rows[self.since[rows] >= eprocess.EVENTS_PER_START]
        if len(due):
            self._begin_again(due)
        shares, kind = np.unique(share, return_inverse=True)
        whole = np.log1p(shares[:, None] * (RATIOS - 1))
        self.logs[rows] += np.where(candidate[:, None], LOG_RATIOS, 0.0) - whole[kind]
        self.since[rows] += 1

    def _begin_again(self, rows: Ints) -> None:
        self.starts[rows] += 1
        self.since[rows] = 0
        fresh = eprocess.HELD_BACK / (self.starts[rows] * (self.starts[rows] + 1))
        self.logs[rows] = np.logaddexp(self.logs[rows], np.log(fresh[:, None] * np.array(eprocess.STAKES)))

    def log_evidence(self, rows: Ints) -> Floats:
        logs = self.logs[rows]
        top = np.maximum(logs.max(axis=1, initial=0.0), 0.0)
        held = eprocess.HELD_BACK / (self.starts[rows] + 1)
        return top + np.log(np.exp(logs - top[:, None]).sum(axis=1) + held * np.exp(-top))


def judge(streams: Streams) -> tuple[Found, dict[str, Path]]:
    """Rolled back at the first limit of any kind; promoted when the bounds allow it and nothing is suspicious."""
    paths = {kind: evidence(streams.cell, events, LIMITS[Kind(kind)]) for kind, events in streams.events.items()}
    rollback = np.min([path.crossed for path in paths.values()], axis=0)
    every = look_every(streams.cell)
    looks = np.arange(every, streams.cell.bins * streams.cell.bin_seconds, every)
    calm = np.logical_and.reduce(
        [path.at(looks) < math.log(WATCH * LIMITS[Kind(kind)]) for kind, path in paths.items()]
    )
    good = within(streams, looks) & calm & (looks < rollback[:, None])
    return Found(rollback, _first(good, looks)), paths


def look_every(cell: Cell) -> float:
    """Seconds between two looks at whether it may be promoted; rollbacks do not wait for one."""
    return max(LOOK_SECONDS, LOOK_BINS * cell.bin_seconds)


def _first(flags: Bools, moments: Floats) -> Floats:
    return np.where(flags.any(axis=1), moments[flags.argmax(axis=1)], NEVER)


def within(streams: Streams, looks: Floats) -> Bools:
    """Whether the bounds are within the margin at each look, since the weights last changed."""
    ends = np.minimum((looks / streams.cell.bin_seconds).astype(np.int64), streams.cell.bins)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(streams.cell.share)) + 1))
    begin = begins[np.searchsorted(begins, ends - 1, side="right") - 1]

    def seen(counts: Ints) -> Ints:
        whole = np.concatenate((np.zeros((len(counts), 1), np.int64), counts.cumsum(axis=1)), axis=1)
        return whole[:, ends] - whole[:, begin]

    new, bad = seen(streams.candidate), seen(streams.candidate_bad)
    old, old_bad = seen(streams.requests) - new, seen(streams.bad)
    floor = edge(old_bad, old, POLICY.promote_alpha / 2, 0.0)
    upper = edge(bad, new, POLICY.promote_alpha / 2, 1.0)
    return (upper - floor <= POLICY.margin * (1 - floor)) & (new > 0) & (old > 0)


def edge(bad: Ints, total: Ints, alpha: float, outside: float) -> Floats:
    """`bounds.upper` (outside 1) and `bounds.lower` (outside 0) of arrays."""
    bar = -math.log(alpha) - _log_mixture(bad, total)
    inner = bad / np.maximum(total, 1)
    outer = np.full(bad.shape, outside)
    for _ in range(bounds.STEPS):
        middle = np.clip((inner + outer) / 2, 1e-300, 1 - 1e-16)
        inside = -bad * np.log(middle) - (total - bad) * np.log1p(-middle) < bar
        inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
    return np.where((total == 0) | (bad == total * outside), outside, outer)


def _log_mixture(bad: Ints, total: Ints) -> Floats:
    """log of B(A + x, B + n - x) / B(A, B), from running sums."""
    most = int(total.max(initial=0)) + 1

    def rising(start: float) -> Floats:
        return np.concatenate(([0.0], np.cumsum(np.log(start + np.arange(most)))))

    return rising(bounds.A)[bad] + rising(bounds.B)[total - bad] - rising(bounds.A + bounds.B)[total]


def split_held(streams: Streams) -> Bools:
    """Releases in which the split was ever taken for another one than declared."""
    cell, held = streams.cell, np.zeros(streams.releases, bool)
    if cell.sticky:
        return held
    for number in range(int(cell.periods[-1]) + 1):
        here = np.flatnonzero(cell.periods == number)
        mine, others = (np.array(part) for part in eprocess.factors(float(cell.share[here[0]]), split.ODDS))
        new = streams.candidate[:, here].cumsum(axis=1)
        old = streams.requests[:, here].cumsum(axis=1) - new
        total = np.full(new.shape, -np.inf)
        for up, down in zip(mine, others, strict=True):
            total = np.logaddexp(total, new * up + old * down)
        held |= (total - math.log(len(split.ODDS)) >= math.log(split.LIMIT)).any(axis=1)
    return held


def ztest(streams: Streams) -> Found:
    """Significant at any look; "promoted" a minute after the start unless it was."""
    new, bad = streams.candidate.cumsum(axis=1), streams.candidate_bad.cumsum(axis=1)
    old, old_bad = streams.requests.cumsum(axis=1) - new, streams.bad.cumsum(axis=1)
    pooled = (bad + old_bad) / np.maximum(new + old, 1)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / np.maximum(new, 1) + 1 / np.maximum(old, 1)))
    z = (bad / np.maximum(new, 1) - old_bad / np.maximum(old, 1)) / spread
    ends = (np.arange(streams.cell.bins) + 1) * streams.cell.bin_seconds
    rollback = _first((z > 2.326) & (new >= 30) & (old >= 30), ends)
    return Found(rollback, np.where(rollback > MINUTE, MINUTE, NEVER))


def _by_minute(streams: Streams, counts: Ints) -> Ints:
    bins = round(MINUTE / streams.cell.bin_seconds)
    whole = counts.shape[1] // bins * bins
    return counts[:, :whole].reshape(len(counts), -1, bins).sum(axis=2)


def flagger(streams: Streams) -> Found:
    """The fifth failed check rolls back; the first passed one moves on."""
    requests, bad = _by_minute(streams, streams.candidate), _by_minute(streams, streams.candidate_bad)
    failed = (requests == 0) | (bad > 0.01 * requests)
    ends = (np.arange(failed.shape[1]) + 1) * MINUTE
    rollback = _first(failed.cumsum(axis=1) >= 5, ends)
    passed = _first(~failed, ends)
    return Found(rollback, np.where(passed < rollback, passed, NEVER))


def kayenta(streams: Streams, minutes: int = 30) -> Found:
    """Each half hour on its own; a window that passes moves on."""
    new, bad = _by_minute(streams, streams.candidate), _by_minute(streams, streams.candidate_bad)
    old, old_bad = _by_minute(streams, streams.requests) - new, _by_minute(streams, streams.bad)
    rate, other = bad / np.maximum(new, 1), old_bad / np.maximum(old, 1)
    windows = rate.shape[1] // minutes
    high = np.stack([_shifted(rate, other, w * minutes, minutes) for w in range(windows)], axis=1)
    ends = (np.arange(windows) + 1) * minutes * MINUTE
    rollback, passed = _first(high, ends), _first(~high, ends)
    return Found(rollback, np.where(passed < rollback, passed, NEVER))


def _shifted(rate: Floats, other: Floats, begin: int, minutes: int) -> Bools:
    """Hodges and Lehmann's shift and the lower end of its 98 % interval, from all differences."""
    here = slice(begin, begin + minutes)
    differences = np.sort((rate[:, here, None] - other[:, None, here]).reshape(len(rate), -1), axis=1)
    pairs = minutes * minutes
    rank = int(pairs / 2 - 2.326 * math.sqrt(pairs * (2 * minutes + 1) / 12))
    return differences[:, rank] > 0.25 * np.abs(np.median(differences, axis=1))


RULES = {"ztest": ztest, "flagger": flagger, "kayenta": kayenta}
