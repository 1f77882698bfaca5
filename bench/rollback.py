"""How soon is a bad version back at nothing, and is a good one left in peace? Real releases on a live suite.

    .venv/bin/python -m bench.rollback [--runs 20] [--good 20] [--rate 100] [--percent 10] [--parts 10]

The candidate fails one request in `--parts`; it gets `--percent` of `--rate` requests a second from 50 users. Time runs
from its first failed answer until its last answer of any kind. As many good versions are released in the same way and
have to stay for as long as the slowest rollback took. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bmase import Client
from bmase.core.releases import is_over
from bmase.patcher.v1 import release_pb2 as pb

from bench.support.load import Answer, Load
from infra.local.place import CHECKOUT
from tests.support import onnx_models
from tests.support.suite import Suite

MODEL = "released"
PATIENCE_SECONDS = 60.0
GOOD_SECONDS = 15.0


@dataclass(frozen=True)
class Run:
    """One bad candidate: seconds from its first failure to its last answer, and what it did meanwhile."""

    to_zero: float
    harmed: int
    served: int
    reason: str


def policy(percent: float) -> pb.ReleasePolicy:
    """One step, and no promotion before the judge had the time that it takes at most."""
    made = pb.ReleasePolicy(shadow_samples=-1)
    step = made.steps.add(percent=percent, min_requests=1)
    step.min_time.FromTimedelta(timedelta(seconds=PATIENCE_SECONDS))
    made.steps.add(percent=100)
    made.judge.ignore_slow = True  # the machine that runs load, nodes and judge at once is no place to judge latency
    return made


def bad_run(client: Client, load: Load, candidate: int, percent: float) -> Run:
    """Releases a version that fails, and waits until it is back at nothing."""
    begun = time.monotonic()
    release = client.releases.start(MODEL, candidate, policy(percent))
    ended = client.releases.wait(release.name, decided=False, timeout=3 * PATIENCE_SECONDS)
    if ended.state != pb.Release.STATE_ROLLED_BACK:
        raise SystemExit(f"version {candidate} was not rolled back: {ended.message}")
    answers = load.since(begun)
    failed = [a for a in answers if a.status != "OK"]
    last = max(a.done for a in answers if a.status != "OK" or a.version == candidate)
    served = sum(a.version == candidate for a in answers) + len(failed)
    return Run(last - failed[0].done, len(failed), served, ended.reason)


def good_run(client: Client, candidate: int, percent: float) -> bool:
    """Whether a good version was rolled back; it is taken back by hand after a while."""
    release = client.releases.start(MODEL, candidate, policy(percent))
    stepping = None
    for seen in client.releases.watch(release.name):
        if seen.state == pb.Release.STATE_STEPPING and stepping is None:
            stepping = time.monotonic()
        if is_over(seen) or (stepping is not None and time.monotonic() - stepping > GOOD_SECONDS):
            break
    if is_over(seen):
        print(f"a good version was rolled back: {seen.message}")
        return True
    client.releases.rollback(release.name, "the run is over")
    client.releases.wait(release.name, decided=False, timeout=PATIENCE_SECONDS)
    return False


def push(client: Client, folder: Path, name: str, model: bytes) -> int:
    file = folder / f"{name}.onnx"
    file.write_bytes(model)
    return client.push(MODEL, file).number


def measure(suite: Suite, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    client = suite.client
    stable = push(client, folder, "stable", onnx_models.affine(1.0, 0.0).SerializeToString())
    bad = push(client, folder, "bad", onnx_models.failing(options.parts).SerializeToString())
    good = push(client, folder, "good", onnx_models.affine(1.0, 0.5).SerializeToString())
    client.deploy(MODEL, stable, timeout=60)
    load = Load.start("bench.rollback_load", suite.address, MODEL, options.rate)
    try:
        time.sleep(3)
        runs = []
        for number in range(options.runs):
            runs.append(bad_run(client, load, bad, options.percent))
            print(f"run {number + 1}: {runs[-1]}", flush=True)
        false = sum(good_run(client, good, options.percent) for _ in range(options.good))
    finally:
        load.stop()
    return result(runs, false, load.answers)


def result(runs: list[Run], false: int, answers: list[Answer]) -> dict[str, object]:
    times = sorted(run.to_zero for run in runs)
    p95 = times[min(len(times) - 1, round(0.95 * len(times)) - 1)]
    return {
        "first_bad_to_zero_s_median": round(statistics.median(times), 2),
        "p95": round(p95, 2),
        "max": round(times[-1], 2),
        "harmed_median": statistics.median(run.harmed for run in runs),
        "served_median": statistics.median(run.served for run in runs),
        "runs": len(runs),
        "false_rollbacks_in_20_good": false,
        "requests": len(answers),
    }


def main() -> None:
    """Starts a suite of its own, measures, stops it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--good", type=int, default=20)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--percent", type=float, default=10.0)
    parser.add_argument("--parts", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch:
        suite = Suite(Path(scratch) / "data")
        try:
            suite.up()
            found = measure(suite, Path(scratch), options)
        finally:
            suite.down()
    results = CHECKOUT / "bench" / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "rollback.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
