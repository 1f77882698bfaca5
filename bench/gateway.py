"""What does our gateway cost, beside the ways one could have chosen instead?

    .venv/bin/python -m bench.gateway [--rounds 8] [--rounds-600kb 6] [--seconds 2.0]

Five ways to one Triton take turns under h2load (real gRPC ModelInfer calls), all with the same connections and requests
in flight:

- `direct`: none
- `envoy`: a plain Envoy with defaults, as many workers as ours
- `ours`: the real Envoy configuration, written by the real control process, which reads the route from a real Consul
- `nginx`: grpc_pass with kept connections, as many workers
- `pyproxy`: a grpc.aio program that passes bytes, one process

So that the hops are what is seen, Triton answers the small tensors (4 FP32) from its response cache; 600 KB tensors,
both ways, go through our ONNX backend. Every answer counts: one that is not the right one ends the bench.

Requests per second are medians over rounds; ratios are medians of the rounds' own ratios. `p50_added_ms` and
`p99_added_ms` are ours minus direct with one client that has one request in flight, again medians of the rounds' own
differences. The last line is one JSON object; a plot and the same figures are left in bench/results/.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.support import h2load, proxies, results
from bench.support.rounds import Rounds, Show, interleave
from bench.support.routing import Routing
from bench.support.triton import LARGE, SMALL, BenchTriton, Model
from infra.runtime import ensure

TARGETS = ("direct", "envoy", "ours", "nginx", "pyproxy")
WARM_UP = 0.3  # of a measured run


@dataclass(frozen=True)
class Case:
    """One size of tensors and the load for it; `alone` is how many requests one client sends for the latencies."""

    model: Model
    shape: h2load.Shape
    alone: int
    suffix: str = ""


CASES = (
    Case(SMALL, h2load.Shape(clients=16, streams=2), alone=1500),
    Case(LARGE, h2load.Shape(clients=8), alone=120, suffix="_600kb"),
)


@contextmanager
def hops(folder: Path) -> Iterator[dict[str, str]]:
    """Starts everything; the address of every target."""
    workers = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        triton = BenchTriton(folder / "triton").start()
        stack.callback(triton.stop)
        routing = stack.enter_context(Routing(folder / "routing", {"blue": triton}, workers))
        routing.place({model.name: {1: "blue"} for model in (SMALL, LARGE)})
        gateway = routing.gateway()
        addresses = {"direct": triton.grpc, "ours": gateway.address}
        for name, make in (("envoy", proxies.plain_envoy), ("nginx", proxies.plain_nginx)):
            addresses[name] = _started(stack, make(folder, triton.grpc_port, workers))
        addresses["pyproxy"] = _started(stack, proxies.python_proxy(folder, triton.grpc_port))
        routing.wait_served(gateway, SMALL.name, LARGE.name)
        yield addresses


def _started(stack: ExitStack, proxy: proxies.Proxy) -> str:
    stack.callback(proxy.start().stop)
    return proxy.address


def throughput(case: Case, addresses: dict[str, str], call: h2load.Call, rounds: int, seconds: float) -> Rounds:
    """Requests per second of every target."""
    counts = {name: _count(address, call, case.shape, seconds) for name, address in addresses.items()}

    def measure(name: str) -> float:
        h2load.run(addresses[name], call, case.shape, max(case.shape.clients, int(counts[name] * WARM_UP)))
        return h2load.run(addresses[name], call, case.shape, counts[name]).rps

    return interleave(TARGETS, rounds, measure, _show(case, "requests/s", "{:.0f}"))


def _count(address: str, call: h2load.Call, shape: h2load.Shape, seconds: float) -> int:
    """How many requests take about so long."""
    least = shape.clients * shape.streams
    rate = h2load.run(address, call, shape, least * 4).rps
    rate = h2load.run(address, call, shape, max(least, int(rate * seconds / 2))).rps
    return max(least, int(rate * seconds))


def latency(case: Case, addresses: dict[str, str], call: h2load.Call, rounds: int) -> tuple[Rounds, Rounds]:
    """p50 and p99 in ms of ours and direct, one request at a time."""
    p99: dict[str, list[float]] = {"direct": [], "ours": []}

    def measure(name: str) -> float:
        run = h2load.run(addresses[name], call, h2load.Shape(1), case.alone, each=True)
        p99[name].append(run.percentile_ms(99))
        return run.percentile_ms(50)

    p50 = interleave(("direct", "ours"), rounds, measure, _show(case, "p50 ms alone", "{:.3f}"))
    return p50, Rounds(p99)


def _show(case: Case, what: str, form: str) -> Show:
    def show(number: int, found: dict[str, float]) -> None:
        shown = "  ".join(f"{name} {form.format(value)}" for name, value in found.items())
        print(f"{case.model.name:<6} {what:<13} round {number + 1}: {shown}", flush=True)

    return show


def figures(case: Case, rates: Rounds, p50: Rounds, p99: Rounds) -> dict[str, float]:
    """The bench's keys for one size."""
    found = {f"{name}_rps": round(rates.median(name), 1) for name in TARGETS}
    found |= {
        f"ours_over_{other}": round(rates.ratio("ours", other), 3) for other in ("envoy", "direct", "pyproxy", "nginx")
    }
    found["p50_added_ms"] = round(p50.difference("ours", "direct"), 3)
    found["p99_added_ms"] = round(p99.difference("ours", "direct"), 3)
    return {key + case.suffix: value for key, value in found.items()}


def main() -> None:
    """Runs both sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--rounds-600kb", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measured run")
    asked = parser.parse_args()
    ensure(["triton", "envoy", "consul", "h2load", "nginx"])
    found: dict[str, float] = {}
    drawn = {}
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch, hops(Path(scratch)) as addresses:
        for case, rounds in zip(CASES, (asked.rounds, asked.rounds_600kb), strict=True):
            call = case.model.call(Path(scratch), addresses["direct"])
            sizes = {name: case.model.ask(address) for name, address in addresses.items()}
            assert len(set(sizes.values())) == 1, f"the hops answer differently: {sizes}"
            rates = throughput(case, addresses, call, rounds, asked.seconds)
            found |= figures(case, rates, *latency(case, addresses, call, rounds))
            drawn[f"{case.model.width * 4:,} bytes"] = rates.values
    results.bars("gateway", "requests per second, one Triton behind different hops", "requests/s", drawn)
    results.finish("gateway", found)


if __name__ == "__main__":
    try:
        main()
    except h2load.LoadFailed as failed:
        sys.exit(f"failed: {failed}")
