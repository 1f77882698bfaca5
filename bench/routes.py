"""Does it matter how many models there are? 1, 100, 1,000 and 10,000 routed ones.

    .venv/bin/python -m bench.routes [--models 1 100 1000 10000] [--rounds 8] [--changes 200] [--adds 3]

For each number a gateway of its own (the real control process, its Envoy, a Consul filled as patcher and agents do)
stands before the same two Tritons, all side by side, so that the load can take turns between them: each round asks
every gateway for a few seconds, in another order. The names asked for are really loaded, in version 1 on one node and 2
on the other; Triton answers them from its cache, so that the gateways are what is seen. Other names are only routed.

- `throughput_N_over_1`: requests/s with N models over requests/s with one, the median of the rounds' own ratios
- `weight_change_p99_ms_N`: from the call of SetWeights (through the gateway's own address) that moves all traffic to
  the other version, until it has returned and only that version answers, on several connections
- `add_model_s_N`: from writing a new model's placement and calling UpdateRoute until its first request is answered
- `envoy_rss_mb_N`: resident memory of Envoy after all of it
- `start_s_N`: from starting Envoy and control with nothing, N models in Consul, until a model is served

The last line is one JSON object; a plot and the same figures are left in bench/results/.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.support import h2load, results
from bench.support.changes import Changes
from bench.support.rounds import Rounds, interleave
from bench.support.routing import Routing
from bench.support.triton import SMALL, BenchTriton
from infra.runtime import ensure
from tests.support.gateway import Gateway
from tests.support.process import Process

PLACES = {1: "blue", 2: "green"}
REAL = tuple(replace(SMALL, name=f"real-{number}") for number in range(3))
SPARE = replace(SMALL, name="spare")  # loaded, but on no gateway until it is added
SHAPE = h2load.Shape(clients=16, streams=2)
SETTLE_SECONDS = 3.0  # what a control process does after it started: its own copy, its report
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Stand:
    """One gateway and what it routes."""

    models: int
    routing: Routing
    gateway: Gateway
    start_seconds: float

    @property
    def name(self) -> str:
        return str(self.models)

    def asked(self, number: int) -> str:
        """The model that round `number` asks for."""
        return REAL[number % min(self.models, len(REAL))].name

    @property
    def rss_mb(self) -> float:
        return resident_mb(self.gateway.envoy)


def resident_mb(process: Process) -> float:
    """Of a program that replaced itself: its pid is still the one that was started."""
    lines = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


@contextmanager
def stands(folder: Path, counts: Sequence[int]) -> Iterator[list[Stand]]:
    """Two Tritons, and a gateway for every number of models."""
    with ExitStack() as stack:
        nodes = {}
        for version, node in PLACES.items():
            nodes[node] = BenchTriton(folder / node, (*REAL, SPARE), version)
            stack.callback(nodes[node].stop)
            nodes[node].start()
        made = []
        for count in counts:
            routing = stack.enter_context(Routing(folder / str(count), nodes, len(os.sched_getaffinity(0))))
            made.append(_stand(count, routing))
        time.sleep(SETTLE_SECONDS)
        yield made


def _stand(count: int, routing: Routing) -> Stand:
    routing.place(dict.fromkeys(names(count), PLACES))
    begun = time.monotonic()
    gateway = routing.gateway(f"gateway-{count}")
    routing.wait_served(gateway, REAL[0].name)
    stand = Stand(count, routing, gateway, time.monotonic() - begun)
    print(f"{count:>6} models: served {stand.start_seconds:.1f} s after the start", flush=True)
    return stand


def names(count: int) -> list[str]:
    """So many models, the loaded ones among them."""
    return [model.name for model in REAL][:count] + [f"routed-{n:05d}" for n in range(count - len(REAL))]


def throughput(made: Sequence[Stand], folder: Path, rounds: int, seconds: float) -> Rounds:
    """Requests per second through every gateway."""
    by_name = {stand.name: stand for stand in made}
    number = 0

    def call(stand: Stand) -> h2load.Call:
        return SMALL.call(folder, stand.gateway.address, stand.asked(number))

    rate = h2load.run(made[0].gateway.address, call(made[0]), SHAPE, 4000).rps
    count = max(SHAPE.clients * SHAPE.streams, int(rate * seconds))

    def measure(name: str) -> float:
        stand = by_name[name]
        asked = call(stand)
        h2load.run(stand.gateway.address, asked, SHAPE, count // 4)
        return h2load.run(stand.gateway.address, asked, SHAPE, count).rps

    def show(done: int, found: dict[str, float]) -> None:
        nonlocal number
        number = done + 1
        print(f"round {done + 1}: " + "  ".join(f"{name}: {rps:.0f}/s" for name, rps in found.items()), flush=True)

    return interleave(list(by_name), rounds, measure, show)


def weight_changes(stand: Stand, count: int) -> list[float]:
    """Milliseconds of every change, over the loaded models in turn."""
    took = []
    models = [model.name for model in REAL][: stand.models]
    with Changes(stand.gateway, SMALL) as changes:
        for number in range(count):
            model, to = models[number % len(models)], 2 - (number // len(models)) % 2
            took.append(1000 * changes.switch(model, to, PLACES))
            time.sleep(PAUSE_SECONDS)
    print(
        f"{stand.models:>6} models: weights changed in p50 {statistics.median(took):.1f} ms, "
        f"p99 {percentile(took, 99):.1f} ms, at most {max(took):.1f} ms",
        flush=True,
    )
    return took


def additions(stand: Stand, count: int) -> list[float]:
    """Seconds of adding the spare model, which is taken away again each time."""
    with Changes(stand.gateway, SMALL) as changes:
        took = [changes.add(stand.routing, SPARE.name, PLACES) for _ in range(count)]
    print(f"{stand.models:>6} models: one more in " + ", ".join(f"{s:.2f} s" for s in took), flush=True)
    return took


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(made: Sequence[Stand], folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """The figures, in the order in which they are of interest."""
    rates = throughput(made, folder, asked.rounds, asked.seconds)
    first, more = made[0].name, made[1:]
    found = {f"throughput_{stand.name}_over_{first}": round(rates.ratio(stand.name, first), 3) for stand in more}
    changes = {stand.name: weight_changes(stand, asked.changes) for stand in made}
    found |= {f"weight_change_p99_ms_{name}": round(percentile(took, 99), 1) for name, took in changes.items()}
    found |= {f"weight_change_p50_ms_{name}": round(statistics.median(took), 1) for name, took in changes.items()}
    adds = {stand.name: statistics.median(additions(stand, asked.adds)) for stand in made}
    found |= {f"add_model_s_{name}": round(seconds, 3) for name, seconds in adds.items()}
    found |= {f"envoy_rss_mb_{stand.name}": round(stand.rss_mb) for stand in made}
    found |= {f"start_s_{stand.name}": round(stand.start_seconds, 2) for stand in made}
    panels = {"requests/s": {s.models: rates.median(s.name) for s in made}}
    for what in ("weight_change_p99_ms", "add_model_s", "envoy_rss_mb"):
        panels[what] = {stand.models: found[f"{what}_{stand.name}"] for stand in made}
    results.lines("routes", "by number of routed models", "models", panels)
    return found


def main() -> None:
    """Runs all of it in a scratch folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measured run")
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--adds", type=int, default=3)
    asked = parser.parse_args()
    ensure(["triton", "envoy", "consul", "h2load"])
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch, stands(Path(scratch), asked.models) as made:
        results.finish("routes", measure(made, Path(scratch), asked))


if __name__ == "__main__":
    try:
        main()
    except h2load.LoadFailed as failed:
        sys.exit(f"failed: {failed}")
