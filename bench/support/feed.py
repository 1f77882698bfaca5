"""Feeds what the monitor makes of sampled requests, in a process of its own: `python -m bench.support.feed PAIRS`.

The pairs are those of a model of 28 x 28 pictures and ten probabilities, two versions of it, as gateways would bring
them. Prints one JSON object: numbers that one core adds to sketches in a second, resident memory after a tenth of the
pairs and after all of them, and how many were looked at.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import numpy as np
from bmase.monitor.v1 import evidence_pb2
from prometheus_client import CollectorRegistry
from tritonclient.grpc import service_pb2

from services.kit.consul import Consul
from services.monitor import insight_build
from services.monitor.captures import Captures
from services.monitor.insight import Insight
from services.monitor.insight_config import InsightSettings
from services.monitor.intake.pairs import Pair
from services.monitor.sketches.layout import Layout, Role
from services.monitor.sketches.tensor import TensorSketch

PIXELS, LABELS = 784, 10
AT_ONCE = 200


def values_per_second(rows: int = 20_000) -> float:
    """Numbers that one core adds to the sketches of a picture's pixels."""
    pictures = np.random.default_rng(1).random((rows, 28, 28), np.float32)
    sketch = TensorSketch(Layout.of(Role.INPUT, "image", pictures))
    begun = time.process_time()
    for part in np.array_split(pictures, rows // 200):
        sketch.add(part)
    sketch.flush()
    return pictures.size / (time.process_time() - begun)


def pairs(count: int) -> Iterator[Pair]:
    """So many, each with other numbers."""
    random = np.random.default_rng(2)
    for number in range(count):
        asked = service_pb2.ModelInferRequest(model_name="digits", id=f"r-{number}")
        asked.inputs.add(name="image", datatype="FP32", shape=[1, 28, 28])
        asked.raw_input_contents.append(random.random(PIXELS, np.float32).tobytes())
        answered = service_pb2.ModelInferResponse(model_name="digits", id=f"r-{number}")
        answered.outputs.add(name="probabilities", datatype="FP32", shape=[1, LABELS])
        answered.raw_output_contents.append(random.random(LABELS, np.float32).tobytes())
        yield Pair(
            time=time.time(),
            gateway="gateway",
            model="digits",
            version=1 + number % 2,
            via="weight",
            client=f"client-{number % 100}",
            request_id="",
            protocol="grpc",
            request=asked.SerializeToString(),
            response=answered.SerializeToString(),
            status="OK",
            duration_ms=3.0,
        )


async def feed(count: int) -> dict[str, float]:
    """Hands the pairs over no quicker than they are taken."""
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as folder:
        settings = InsightSettings(data_dir=Path(folder), consul_url="http://127.0.0.1:9")
        async with AsyncExitStack() as stack:
            consul = await stack.enter_async_context(Consul.of(settings))
            captures = Captures(settings.data_dir / "captures.json", consul)
            metrics = CollectorRegistry()
            nothing = {"on_outcome": _ignored, "traffic": _quiet}
            insight = await insight_build.build(stack, settings, consul, captures, metrics, **nothing)
            running = asyncio.create_task(insight.run())
            resident = []
            for share in (count // 10, count - count // 10):
                await _hand_over(insight, share)
                resident.append(_resident_mb())
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            taken = insight.looking.sampled["digits"] - insight.looking.dropped["digits"]
    return {"memory_mb_tenth": resident[0], "memory_mb": resident[1], "pairs": taken}


async def _hand_over(insight: Insight, count: int) -> None:
    for number, pair in enumerate(pairs(count)):
        insight.pair(pair)
        if number % AT_ONCE == AT_ONCE - 1:
            await insight.looking.looked()


def _ignored(event: object) -> None:
    """No comparison runs."""


def _quiet(model: str, version: int) -> evidence_pb2.Arm:
    return evidence_pb2.Arm()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return round(pages * 4096 / 2**20, 1)


if __name__ == "__main__":
    print(json.dumps({"values_per_s": values_per_second(), **asyncio.run(feed(int(sys.argv[1])))}))
