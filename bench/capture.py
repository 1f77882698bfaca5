"""What does it cost requests that a monitor looks on?

    .venv/bin/python -m bench.capture [--rounds 50] [--seconds 1.5]

Two of our gateways before one Triton take turns under h2load, as in bench.gateway: one shows 1 % of the requests
and answers to a monitor in a process of its own, on the same processors; the other shows none. `capture_ratio` is the
median of the rounds' own ratios of requests per second.

Then one client with one request in flight asks the gateway that shows, while the monitor runs, was just killed, hangs
since just now, or needs 50 ms for each pair: `p50_ms_*` and `p99_ms_*` are medians over rounds. Every answer counts:
one that is not the right one ends the bench. `envoy_mb` is what the gateway that shows has allocated in the end.

Last, what the monitor makes of it is fed without a gateway: `sketch_values_per_s` is how many numbers one core adds to
sketches; `memory_mb_after_1h_equiv` is the resident memory after the pairs that an hour of 1,000 requests/s brings at
1 %, and `memory_mb_after_6min_equiv` after a tenth of them. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.support import h2load, results
from bench.support.rounds import Rounds, interleave
from bench.support.routing import Routing
from bench.support.triton import SMALL, BenchTriton
from infra.runtime import ensure
from infra.runtime.layout import CHECKOUT
from services.gateway.envoy.shown import SAMPLED
from tests.support.gateway import Gateway, eventually
from tests.support.intake import Intake

PERCENT = 1.0
LOAD = h2load.Shape(clients=16, streams=2)
SLOW_SECONDS = 0.05
ALONE = 2500
PAIRS_OF_AN_HOUR = 36_000
STATES = ("running", "killed", "hung", "slow")
MEBIBYTE = 1 << 20


@dataclass
class Scene:
    """What the bench runs on."""

    folder: Path
    routing: Routing
    shown: Gateway
    unseen: Gateway

    @contextmanager
    def monitor(self, pause: float = 0.0) -> Iterator[Intake]:
        """A monitor that both gateways have found; stopped afterwards, and both know it."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        intake = Intake(folder, self.routing.consul, pause)
        try:
            intake.start()
            self._until(1)
            yield intake
        finally:
            intake.process.resume()
            intake.close()
            self._until(0)

    def _until(self, members: int) -> None:
        for gateway in (self.shown, self.unseen):
            stat = "membership_healthy" if members else "membership_total"
            eventually(lambda g=gateway, s=stat: g.stat(f"cluster.monitor-pairs.{s}") == members, "it is known", 30)  # type: ignore[misc]


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Starts everything but the monitor."""
    workers = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        triton = BenchTriton(folder / "triton", [SMALL]).start()
        stack.callback(triton.stop)
        routing = stack.enter_context(Routing(folder / "routing", {"blue": triton}, workers))
        routing.place({SMALL.name: {1: "blue"}})
        shown = routing.gateway("shown", capture_percent=PERCENT)
        unseen = routing.gateway("unseen", capture_percent=0)
        for gateway in (shown, unseen):
            routing.wait_served(gateway, SMALL.name)
        yield Scene(folder, routing, shown, unseen)


def throughput(made: Scene, call: h2load.Call, rounds: int, seconds: float) -> Rounds:
    """Requests per second of both."""
    addresses = {"shown": made.shown.address, "unseen": made.unseen.address}
    least = LOAD.clients * LOAD.streams
    h2load.run(made.unseen.address, call, LOAD, least * 8)
    count = int(h2load.run(made.unseen.address, call, LOAD, least * 40).rps * seconds)

    def measure(name: str) -> float:
        h2load.run(addresses[name], call, LOAD, max(least, count // 4))
        return h2load.run(addresses[name], call, LOAD, count).rps

    def show(number: int, found: dict[str, float]) -> None:
        told = "  ".join(f"{name} {value:.0f}" for name, value in found.items())
        print(f"requests/s, round {number + 1}: {told}", flush=True)

    with made.monitor() as intake:
        before = made.shown.stat("cluster.monitor-pairs.upstream_rq_total")
        found = interleave(tuple(addresses), rounds, measure, show)
        time.sleep(SAMPLED.seconds + 0.5)
        sent = made.shown.stat("cluster.monitor-pairs.upstream_rq_total") - before
        arrived = len(intake.arrived())
        print(f"{arrived} pairs in {sent} messages have arrived", flush=True)
        asked = rounds * (count + max(least, count // 4))
        assert arrived > 0.8 * PERCENT / 100 * asked, f"of {asked} requests only {arrived} were shown"
    return found


def latencies(made: Scene, call: h2load.Call, rounds: int) -> dict[str, float]:
    """p50 and p99 of a client that asks alone, by what becomes of the monitor."""
    p50: dict[str, list[float]] = {state: [] for state in STATES}
    p99: dict[str, list[float]] = {state: [] for state in STATES}
    for number in range(rounds):
        for state in STATES[number % 4 :] + STATES[: number % 4]:
            with made.monitor(SLOW_SECONDS if state == "slow" else 0.0) as intake:
                h2load.run(made.shown.address, call, h2load.Shape(1), ALONE // 5)
                if state == "killed":
                    intake.process.kill()
                if state == "hung":
                    intake.process.suspend()
                run = h2load.run(made.shown.address, call, h2load.Shape(1), ALONE, each=True)
            p50[state].append(run.percentile_ms(50))
            p99[state].append(run.percentile_ms(99))
            print(f"monitor {state:<7} p50 {p50[state][-1]:.3f} ms  p99 {p99[state][-1]:.3f} ms", flush=True)
    found = {f"p50_ms_{state}": round(statistics.median(p50[state]), 3) for state in STATES}
    return found | {f"p99_ms_{state}": round(statistics.median(p99[state]), 3) for state in STATES}


def fed() -> dict[str, float]:
    """What sampled requests cost the monitor."""
    command = [sys.executable, "-m", "bench.support.feed", str(PAIRS_OF_AN_HOUR)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=600)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["pairs"] == PAIRS_OF_AN_HOUR, f"only {told['pairs']} pairs were looked at"
    return {
        "sketch_values_per_s": round(told["values_per_s"]),
        "memory_mb_after_1h_equiv": told["memory_mb"],
        "memory_mb_after_6min_equiv": told["memory_mb_tenth"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--rounds-alone", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measured run")
    asked = parser.parse_args()
    ensure(["triton", "envoy", "consul", "h2load"])
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch, scene(Path(scratch)) as made:
        call = SMALL.call(Path(scratch), made.unseen.address)
        rates = throughput(made, call, asked.rounds, asked.seconds)
        found: dict[str, float] = {
            "capture_ratio": round(rates.ratio("shown", "unseen"), 3),
            "shown_rps": round(rates.median("shown"), 1),
            "unseen_rps": round(rates.median("unseen"), 1),
            **latencies(made, call, asked.rounds_alone),
            "envoy_mb": round(made.shown.stat("server.memory_allocated") / MEBIBYTE, 1),
        }
    found |= fed()
    found["seconds"] = round(time.monotonic() - begun)
    results.bars("capture", "requests per second", "requests/s", {"1 % shown to a monitor, and none": rates.values})
    results.finish("capture", found)


if __name__ == "__main__":
    try:
        main()
    except h2load.LoadFailed as failed:
        sys.exit(f"failed: {failed}")
