"""Some simulated releases through the real judge, to hold its numpy double to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.judge_rules import LIMITS, NEVER, POLICY, Found, Path, look_every
from bench.judge_streams import Cell, Streams
from services.monitor.judge.evidence import Counts, Verdict
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.verdict import Judge

TOLERANCE = 1e-6
EVENT, CHANGE, COUNTS = range(3)


class Different(RuntimeError):
    """The judge and its double do not say the same."""


def hold_against(streams: Streams, paths: dict[str, Path], found: Found, rows: Sequence[int]) -> None:
    """Rollback times, evidence after the last event, and first promotions have to be the same."""
    for row in rows:
        judge, rollback, promoted = through(streams, row)
        for kind, path in paths.items():
            count = path.count[row]
            wanted = path.log[row, count - 1] if count else 0.0
            real = judge.suspects[Kind(kind)].process.log_evidence
            if abs(real - wanted) > TOLERANCE * max(1.0, abs(wanted)):
                raise Different(f"{streams.cell.name}, release {row}: evidence of {kind} e^{real} and e^{wanted}")
        for what, real, wanted in (
            ("rollback", rollback, found.rollback[row]),
            ("promotion", promoted, found.promoted[row]),
        ):
            if real != wanted:
                raise Different(f"{streams.cell.name}, release {row}: {what} at {real} s and {wanted} s")


def through(streams: Streams, row: int) -> tuple[Judge, float, float]:
    """One release: the judge at its end, and when it was rolled back and first promoted."""
    cell, judge = streams.cell, Judge.begin(POLICY, stable=1, candidate=2)
    assert {kind: suspect.limit for kind, suspect in judge.suspects.items()} == LIMITS
    rollback = promoted = NEVER
    for time, what, *told in _happenings(streams, row):
        if what == EVENT:
            kind, candidate, client, share = told
            side = Side.CANDIDATE if candidate else Side.STABLE
            judge.bad(kind, side, str(client), time, share=share, sticky=cell.sticky)
            if judge.rolled_back and rollback == NEVER:
                rollback = time
            continue
        stable, new, share, look = told
        judge.counts(time, stable, new, share=share, sticky=cell.sticky)
        if look and promoted == NEVER and not judge.rolled_back:
            promoted = time if judge.evidence(time).verdict is Verdict.PROMOTE else NEVER
    return judge, rollback, promoted


def _happenings(streams: Streams, row: int) -> list[tuple]:
    """Events and counts in order; the counts of a bin come at its end, and a new share is told when it begins."""
    cell, told = streams.cell, []
    for kind, events in streams.events.items():
        bins = events.bin(cell)[row]
        for k in range(events.count[row]):
            share = float(cell.share[bins[k]])
            client, candidate = int(events.client[row, k]), bool(events.candidate[row, k])
            told.append((float(events.time[row, k]), EVENT, Kind(kind), candidate, client, share))
    for number in range(cell.bins):
        begin, share = number * cell.bin_seconds, float(cell.share[number])
        if number == 0 or share != cell.share[number - 1]:
            told.append((begin, CHANGE, Counts(), Counts(), share, False))
        end = (number + 1) * cell.bin_seconds
        told.append((end, COUNTS, *_counts(streams, row, number), share, _looked_at(cell, end)))
    return sorted(told, key=lambda each: (each[0], -each[1]))


def _counts(streams: Streams, row: int, number: int) -> tuple[Counts, Counts]:
    new, bad = int(streams.candidate[row, number]), int(streams.candidate_bad[row, number])
    old, old_bad = int(streams.requests[row, number]) - new, int(streams.bad[row, number])
    return Counts(old, old_bad), Counts(new, bad)


def _looked_at(cell: Cell, end: float) -> bool:
    return bool(np.isclose(end % look_every(cell), 0.0)) and end < cell.bins * cell.bin_seconds
