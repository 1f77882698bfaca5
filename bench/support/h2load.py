"""Runs h2load and reads what it says. A run in which one answer is missing or not the expected one is no result."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.runtime import binary

INFER = "/inference.GRPCInferenceService/ModelInfer"
GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")
RUN_SECONDS = 120

_FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s|m|h), ([\d.]+) req/s")
_REQUESTS = re.compile(
    r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout"
)
_TRAFFIC = re.compile(r"traffic: .*\((\d+)\) total, .*\((\d+)\) headers .*\((\d+)\) data")
_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class LoadFailed(RuntimeError):
    """Requests failed, or h2load did; the message shows its output."""


@dataclass(frozen=True)
class Run:
    """One run. `micros` are the times of single requests, when they were asked for."""

    requests: int
    succeeded: int
    seconds: float
    data_bytes: int
    micros: tuple[int, ...] = field(default=(), repr=False)

    @property
    def rps(self) -> float:
        return self.succeeded / self.seconds

    def percentile_ms(self, percent: int) -> float:
        """Of the single requests."""
        return statistics.quantiles(self.micros, n=100, method="inclusive")[percent - 1] / 1000


@dataclass(frozen=True)
class Shape:
    """How many connections, requests in flight on each, and threads of h2load."""

    clients: int
    streams: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Call:
    """A unary gRPC call whose right answer has a known number of bytes, its frame included.

    A refusal in gRPC is HTTP 200 without data, so the bytes of a run tell whether every single answer was one.
    """

    body: Path
    answer_bytes: int
    path: str = INFER
    headers: Sequence[str] = GRPC_HEADERS


def run(address: str, call: Call, shape: Shape, requests: int, *, each: bool = False) -> Run:
    """So many requests as quickly as they are answered; with `each`, the time of every one. Raises LoadFailed."""
    with tempfile.NamedTemporaryFile(prefix="h2load-", suffix=".log") as log:
        command = _command(address, call, shape, requests) + ([f"--log-file={log.name}"] if each else [])
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        lines = Path(log.name).read_text("ascii").splitlines() if each else []
    found = parse(done.stdout, lines)
    if done.returncode or found is None:
        raise LoadFailed(f"h2load ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    wanted = requests * call.answer_bytes
    if found.succeeded != requests or found.data_bytes != wanted:
        raise LoadFailed(
            f"not every answer of {address} was the right one: {found.succeeded} of {requests} succeeded, with "
            f"{found.data_bytes} of {wanted} bytes\n{done.stdout}"
        )
    return found


def _command(address: str, call: Call, shape: Shape, requests: int) -> list[str]:
    words = [str(binary("h2load")), "-n", str(requests), "-c", str(shape.clients), "-m", str(shape.streams)]
    words += ["-t", str(shape.threads), "-d", str(call.body)]
    for header in call.headers:
        words += ["-H", header]
    return [*words, f"http://{address}{call.path}"]


def parse(output: str, log: Sequence[str] = ()) -> Run | None:
    """h2load's summary and its --log-file; None when there is no summary."""
    finished, requests, traffic = (pattern.search(output) for pattern in (_FINISHED, _REQUESTS, _TRAFFIC))
    if not (finished and requests and traffic):
        return None
    return Run(
        requests=int(requests[1]),
        succeeded=int(requests[4]),
        seconds=float(finished[1]) * _UNIT[finished[2]],
        data_bytes=int(traffic[3]),
        micros=tuple(int(line.split("\t")[2]) for line in log),
    )
