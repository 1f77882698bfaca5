"""How often is a good version rolled back, and how soon a bad one? The judge and three other rules, same streams.

    .venv/bin/python -m bench.judge [--releases 2000] [--judged 5] [--seed 1]

Simulated releases, so many a cell; every rule sees the same ones. In the cells without a regression both versions
fail alike (0.5 % of requests, 0.3 % are slow, 0.5 % turn out wrong), through what real traffic does: other weights,
a ramp of weights, outages of both, a daily wave, clients that send their failing requests in bursts, little traffic.
In the others the candidate fails more often from the start. The judge has its default policy: alpha 0.01 over
errors, slow requests and wrong outcomes. It is computed in numpy; `--judged` releases of each cell also go through
the real one, and the bench fails when they differ.

- `false_rollback_max`: the largest part of good releases that the judge rolled back, over the cells; `worst_cell` is it
- `ztest_`, `flagger_`, `kayenta_false_rollback`: the same of the other rules
- `median_requests_0p5_to_10`: requests of both versions until a candidate with 10 % of traffic that fails 10 % of its
  requests, where the stable version fails 0.5 %, is rolled back; the same for 2, 5 and 100 %
- `bad_promoted_max`: the largest part of bad releases (worse by more than the margin) that the judge ever called good
- `split_held_max`: the largest part of releases in which a right split was taken for a wrong one
- `late_s_median`: seconds to rollback of a version that turns bad after half an hour

The last line is one JSON object; a plot and the same figures are left in bench/results/.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.judge_cells import cells
from bench.judge_plot import plot
from bench.judge_real import Different, hold_against
from bench.judge_rules import NEVER, RULES, Found, judge, split_held
from bench.judge_streams import Cell, Floats, Streams, simulate
from bench.support import results

CHUNK = 1000
OURS = "judge"


@dataclass
class Tally:
    """What one rule did in one cell: seconds and requests to rollback, seconds to promotion; NEVER if not."""

    rollback: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    promoted: list[float] = field(default_factory=list)

    def add(self, streams: Streams, found: Found) -> None:
        self.rollback += found.rollback.tolist()
        self.requests += requests_until(streams, found.rollback).tolist()
        self.promoted += found.promoted.tolist()

    @property
    def rolled_back(self) -> float:
        return float(np.mean(np.array(self.rollback) < NEVER))

    @property
    def ever_promoted(self) -> float:
        return float(np.mean(np.array(self.promoted) < NEVER))


@dataclass
class Outcome:
    """One cell, by rule."""

    cell: Cell
    rules: dict[str, Tally]
    held: float

    def median(self, rule: str) -> float:
        """Requests of both versions to rollback."""
        return float(np.median(self.rules[rule].requests))


def requests_until(streams: Streams, moments: Floats) -> Floats:
    """Requests of both versions before each release's moment, from the start or from when the candidate turned bad."""
    cell = streams.cell
    whole = np.concatenate((np.zeros((streams.releases, 1)), streams.requests.cumsum(axis=1)), axis=1)

    def before(times: Floats) -> Floats:
        place = np.minimum(times / cell.bin_seconds, cell.bins - 1e-9)
        first = place.astype(np.int64)
        rows = np.arange(streams.releases)
        return whole[rows, first] + (place - first) * streams.requests[rows, first]

    begun = np.full(streams.releases, cell.changes_at or 0.0)
    return np.where(moments < NEVER, before(np.where(moments < NEVER, moments, 0.0)) - before(begun), NEVER)


def run(cell: Cell, releases: int, judged: int, seed: int) -> Outcome:
    """All releases of a cell, some at a time."""
    outcome = Outcome(cell, {rule: Tally() for rule in (OURS, *RULES)}, 0.0)
    for number, count in enumerate(_chunks(releases)):
        streams = simulate(cell, count, np.random.default_rng([seed, *cell.name.encode(), number]))
        found, paths = judge(streams)
        outcome.rules[OURS].add(streams, found)
        for rule, decide in RULES.items():
            outcome.rules[rule].add(streams, decide(streams))
        held = split_held(streams)
        outcome.held += held.sum() / releases
        if number == 0:
            hold_against(streams, paths, found, [row for row in range(min(judged, count)) if not held[row]])
    return outcome


def _chunks(releases: int) -> Iterator[int]:
    while releases > 0:
        yield min(CHUNK, releases)
        releases -= CHUNK


def show(outcome: Outcome, seconds: float) -> None:
    """One line a cell."""
    parts = [f"{outcome.cell.name:<34}"]
    for rule, tally in outcome.rules.items():
        requests = f" {outcome.median(rule):>8.0f}" if not outcome.cell.good else ""
        parts.append(f"{rule} {tally.rolled_back:7.2%}{requests}, on {tally.ever_promoted:7.2%}")
    print("  ".join(parts) + f"  ({seconds:.0f} s)", flush=True)


def figures(outcomes: list[Outcome]) -> dict[str, object]:
    """The numbers of the last line."""
    good = [outcome for outcome in outcomes if outcome.cell.good]
    bad = [outcome for outcome in outcomes if outcome.cell.worse and outcome.cell.changes_at is None]
    worst = max(good, key=lambda outcome: outcome.rules[OURS].rolled_back)
    found: dict[str, object] = {"false_rollback_max": round(worst.rules[OURS].rolled_back, 4)}
    for outcome in outcomes:
        if outcome.cell.name.startswith("0.5"):
            name = outcome.cell.name.split(" %")[0].replace("0.5 -> ", "")
            found[f"median_requests_0p5_to_{name}"] = _whole(outcome.median(OURS))
    for rule in RULES:
        found[f"{rule}_false_rollback"] = round(max(each.rules[rule].rolled_back for each in good), 4)
    found["bad_promoted_max"] = round(max(each.rules[OURS].ever_promoted for each in bad), 4)
    found |= {f"{rule}_bad_promoted": round(max(e.rules[rule].ever_promoted for e in bad), 4) for rule in RULES}
    found["bad_not_rolled_back_max"] = round(1 - min(each.rules[OURS].rolled_back for each in bad), 4)
    found["split_held_max"] = round(max(outcome.held for outcome in outcomes), 4)
    for outcome in outcomes:
        if outcome.cell.changes_at is not None:
            late = np.array(outcome.rules[OURS].rollback) - outcome.cell.changes_at
            found["late_s_median"] = round(float(np.median(late)), 1)
    return found | {"worst_cell": worst.cell.name, "releases": len(worst.rules[OURS].rollback)}


def _whole(number: float) -> int | None:
    return round(number) if np.isfinite(number) else None


def main() -> None:
    """All cells, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=2000, help="of each cell")
    parser.add_argument("--judged", type=int, default=5, help="of each cell go through the real judge, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", default="", help="only those whose name has this in it")
    asked = parser.parse_args()
    outcomes = []
    for cell in cells():
        if asked.cells in cell.name:
            begun = time.monotonic()
            outcomes.append(run(cell, asked.releases, asked.judged, asked.seed))
            show(outcomes[-1], time.monotonic() - begun)
    if asked.cells:
        return
    plot(outcomes)
    results.finish("judge", figures(outcomes))


if __name__ == "__main__":
    try:
        main()
    except Different as different:
        sys.exit(f"failed: {different}")
