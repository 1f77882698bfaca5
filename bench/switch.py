"""Does anybody notice a release? Continuous load, while versions come, take all traffic, give it back and go.

    .venv/bin/python -m bench.switch [--rounds 20] [--requests 20000] [--clients 4]

Each round deploys a new version beside the stable one, gives it all traffic, takes it back and unloads it. The load
comes from another process (asyncio clients of tritonclient; answers are checked against the version they claim to be).
A switch lasts from the call of SetWeights until the last answer by the version that lost the traffic.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from bmase import Client

from bench.support.load import Answer, Load
from infra.local.place import CHECKOUT
from tests.support.onnx_models import affine
from tests.support.suite import Suite

MODEL = "switched"
STABLE = (2.0, 1.0)
SETTLED = 100  # answers by one version alone that end a switch
QUIET_SECONDS = 10.0
SWITCH_SECONDS = 20.0
Span = tuple[float, float]  # begin and end, monotonic seconds


def switch(client: Client, load: Load, to: int) -> Span:
    """(begin, end) of giving all traffic to one version."""
    begun = time.monotonic()
    client.routes.set_weights(MODEL, {to: 1})
    called = time.monotonic()
    while not _settled(load.since(begun), to):
        if time.monotonic() > begun + SWITCH_SECONDS:
            raise SystemExit(f"version {to} did not get all traffic within {SWITCH_SECONDS} s")
        time.sleep(0.005)
    old = [a.done for a in load.answers[-5000:] if a.done >= begun and a.version not in (0, to)]
    return begun, max([*old, called])


def _settled(answers: list[Answer], version: int) -> bool:
    last = answers[-SETTLED:]
    return len(last) == SETTLED and all(a.version in (0, version) for a in last)


def push(client: Client, folder: Path, a: float, b: float) -> int:
    file = folder / f"{a}-{b}.onnx"
    file.write_bytes(affine(a, b).SerializeToString())
    return client.push(MODEL, file).number


def p(quantile: int, values: list[float]) -> float:
    """A percentile in milliseconds."""
    return round(1000 * statistics.quantiles(values, n=100, method="inclusive")[quantile - 1], 2)


def measure(suite: Suite, folder: Path, rounds: int, requests: int, clients: int) -> dict[str, object]:
    client = suite.client
    stable = push(client, folder, *STABLE)
    client.deploy(MODEL, stable, timeout=60)
    load = Load.start("bench.switch_load", suite.address, MODEL, clients)
    switches: list[Span] = []
    busy: list[Span] = []
    time.sleep(QUIET_SECONDS)
    try:
        for number in range(rounds):
            begun = time.monotonic()
            candidate = push(client, folder, 3.0 + number, -1.0)
            client.deploy(MODEL, candidate, timeout=60)
            switches += [switch(client, load, candidate), switch(client, load, stable)]
            client.undeploy(MODEL, candidate, timeout=60)
            busy.append((begun, time.monotonic()))
            print(
                f"round {number + 1}: {time.monotonic() - begun:.1f} s, {len(load.answers)} requests so far", flush=True
            )
        while len(load.answers) < requests:
            time.sleep(0.1)
    finally:
        load.stop()
    return result(load.answers, switches, busy)


def result(answers: list[Answer], switches: list[Span], busy: list[Span]) -> dict[str, object]:
    good = [a for a in answers if a.status == "OK"]
    during = [a.done - a.sent for a in good if any(begin <= a.sent <= end for begin, end in busy)]
    quiet = [a.done - a.sent for a in good if not any(begin - 0.5 <= a.sent <= end + 0.5 for begin, end in busy)]
    bad = Counter(a.status for a in answers if a.status != "OK")
    if bad:
        print("failures:", dict(bad))
    return {
        "requests": len(answers),
        "failed": len(answers) - len(good),
        "switch_p95_ms": p(95, [end - begin for begin, end in switches]),
        "p99_ms_quiet": p(99, quiet),
        "p99_ms_switching": p(99, during),
        "switches": len(switches),
        "switch_max_ms": round(1000 * max(end - begin for begin, end in switches), 2),
        "requests_per_s": round(len(answers) / (answers[-1].done - answers[0].sent)),
    }


def main() -> None:
    """Starts a suite of its own, measures, stops it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch:
        suite = Suite(Path(scratch) / "data")
        try:
            suite.up()
            found = measure(suite, Path(scratch), options.rounds, options.requests, options.clients)
        finally:
            suite.down()
    results = CHECKOUT / "bench" / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "switch.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
