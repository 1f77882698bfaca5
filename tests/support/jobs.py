"""Jobs for tests: code that needs little, and data that is small."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from bmase import Client
from bmase.core.jobs import job
from bmase.errors import TimedOut
from bmase.trainer.v1 import trainer_pb2 as pb

# What a test asks of it is in its parameters. It steps as real training does, but without any.
CODE = """
import os, time
from pathlib import Path

def main(run):
    asked = run.parameters
    print(f"pid {os.getpid()} rank {run.rank}", flush=True)
    if asked.get("raise"):
        raise ValueError(asked["raise"])
    if asked.get("exit"):
        os._exit(int(asked["exit"]))
    if asked.get("eat"):
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 20)) * 8)
            time.sleep(0.002)
    saved = run.resume()
    first = saved.step if saved else 0
    print(f"from {first}", flush=True)
    for step in range(first, int(asked.get("steps", 3))):
        time.sleep(asked.get("pause", 0.01))
        run.report(step + 1, total=int(asked.get("steps", 3)), value=step + 1)
        if run.due(step + 1):
            run.checkpoint(step + 1, {"step": step + 1, "rank": run.rank})
    while asked.get("forever"):
        time.sleep(0.1)
    run.finish(product(run.folder))

def product(folder):
    import onnx
    from onnx import TensorProto, helper
    from bmase.training import Product
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [value("x")], [value("y")])
    out = folder / "product"
    out.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), out / "model.onnx")
    return Product(out)
"""


def bundle(client: Client, folder: Path, code: str = CODE, name: str = "stepper.py") -> str:
    """The digest of the code in the registry."""
    packed = folder / "code.tar.gz"
    content = code.encode()
    with gzip.GzipFile(packed, "wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:  # type: ignore[arg-type]
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return client.upload(packed)


def stepper(
    model: str, digest: str, *, workers: int = 1, gib: float = 1.0, seconds: float = 600, **asked: Any
) -> pb.Job:
    """A job of the code above."""
    return job(
        model,
        bundle=digest,
        entry_point="stepper:main",
        parameters=asked,
        workers=workers,
        cpus=1,
        memory_bytes=int(gib * 2**30),
        time_limit=timedelta(seconds=seconds),
    )


def until(client: Client, name: str, reached: Callable[[pb.Job], bool], what: str, timeout: float = 120) -> pb.Job:
    """The job when it is so; fails with its own words when it ends without."""
    begun = time.monotonic()
    while True:
        seen = client.jobs.get(name)
        if reached(seen):
            return seen
        over = seen.HasField("end_time")
        if over or time.monotonic() - begun > timeout:
            raise AssertionError(f"not {what} ({'ended' if over else f'within {timeout} s'}): {seen}")
        time.sleep(0.1)


def ended(client: Client, name: str, timeout: float = 180) -> pb.Job:
    """The job when it has ended, however that was."""
    return until(client, name, lambda seen: seen.HasField("end_time"), "over", timeout)


def lines(client: Client, name: str) -> list[str]:
    """What the job has printed so far; of one that runs what there is within a moment."""
    found: list[str] = []
    kinds = [pb.WatchJobRequest.KIND_LOG]
    over = client.jobs.get(name).HasField("end_time")
    try:
        for event in client.jobs.watch(name, kinds=kinds, timeout=None if over else 1.0):
            if event.WhichOneof("event") == "log":
                found.append(event.log.text)
    except TimedOut:
        pass
    return found


def pids(client: Client, name: str) -> list[int]:
    """Of the workers, in the order in which they said so."""
    return [int(found[1]) for line in lines(client, name) if (found := re.match(r"pid (\d+) ", line))]


def series(client: Client, name: str, metric: str) -> Mapping[int, float]:
    """step -> value."""
    return {point.step: point.value for point in client.jobs.metrics(name, metric, page_size=1000)}
