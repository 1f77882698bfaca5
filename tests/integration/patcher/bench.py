"""One node for tests: a real Triton, the agent as a process, and the patcher's pen in the test's hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import tritonclient.grpc as tc
from bmase.registry.v1 import registry_pb2

from infra.runtime.layout import CHECKOUT
from services.kit.consul import Consul
from services.kit.consul.documents import read
from services.patcher.documents import (
    SYNCED,
    Alive,
    Desired,
    Status,
    Step,
    Synced,
    desired_prefix,
    node_alive,
    status_key,
)
from tests.support import onnx_models
from tests.support.process import Process
from tests.support.triton import Triton

Found = TypeVar("Found")
ONES = np.ones((1, 4), np.float32)


async def eventually(look: Callable[[], Awaitable[Found | None]], what: str, timeout: float = 60) -> Found:
    """Waits until `look` finds something; fails with what it waited for."""
    deadline = time.monotonic() + timeout
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        await asyncio.sleep(0.05)


def affine_files(a: float, b: float, sample: bool = True) -> dict[str, bytes]:
    """A servable version that answers a*x+b, with the right answer as its sample."""
    config = onnx_models.config_text("any", [("x", "FP32", [4])], [("y", "FP32", [4])])
    files = {"model.onnx": onnx_models.affine(a, b).SerializeToString(), "config.pbtxt": config.encode()}
    if sample:
        files["warm.sample"] = affine_sample(a, b).SerializeToString()
    return files


def affine_sample(a: float, b: float) -> registry_pb2.Sample:
    x = np.arange(4, dtype="<f4").reshape(1, 4)
    sample = registry_pb2.Sample()
    sample.inputs.add(name="x", datatype="FP32", shape=[1, 4], data=x.tobytes())
    sample.outputs.add(name="y", datatype="FP32", shape=[1, 4], data=(a * x + b).astype("<f4").tobytes())
    return sample


class NodeBench:
    """Triton and agent of the node `name`; `desire` and `status` are the patcher's side."""

    def __init__(
        self,
        folder: Path,
        consul: Consul,
        consul_url: str,
        env: Mapping[str, str] | None = None,
        name: str = "blue",
        repository: Path | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.consul = consul
        self.data = folder / "agent"
        self.triton = Triton(folder, extra=["--no-auto-complete"])
        self.triton.repository = repository or self.data / "repository"
        self.triton.models_file = self.data / "models.json"
        command = self.triton.process.command
        command[command.index("--repository") + 1] = str(self.triton.repository)
        command[command.index("--models-file") + 1] = str(self.triton.models_file)
        self.settings = {
            "BMASE_CONSUL_URL": consul_url,
            "BMASE_AGENT_NODE": self.name,
            "BMASE_AGENT_DATA_DIR": str(self.data),
            "BMASE_AGENT_TRITON_GRPC": self.triton.grpc,
            "BMASE_AGENT_TRITON_HTTP": self.triton.http,
            "BMASE_AGENT_TRITON_METRICS": f"127.0.0.1:{self.triton.metrics_port}",
            "BMASE_AGENT_DRAIN_SECONDS": "1",
            **({"BMASE_AGENT_REPOSITORY": str(repository)} if repository else {}),
            **(env or {}),
        }
        agent = [sys.executable, "-m", "services.patcher.agent"]
        self.agent = Process(agent, folder / "agent.log", name="agent", env=self.settings, cwd=CHECKOUT)

    async def start(self) -> NodeBench:
        """Starts both; returns when the node says that it may be used."""
        await asyncio.to_thread(self.triton.start)
        self.agent.start()
        await self.usable()
        return self

    async def fresh(self) -> NodeBench:
        """Running, usable and empty, whatever the test before did."""
        await self.desire()
        if not self.triton.process.alive:
            await asyncio.to_thread(self.triton.start)
        self.triton.process.resume()
        if not self.agent.alive:
            self.agent.start()

        async def empty() -> bool:
            listing = await self.consul.kv.list(status_key(self.name, ""))
            return not listing.entries

        await self.usable()
        await eventually(empty, f"node {self.name} empty", 40)
        return self

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Somebody starts Triton again whenever it ends, as a supervisor does."""

        async def keep() -> None:
            while True:
                if not self.triton.process.alive:
                    self.triton.process.start()
                await asyncio.sleep(0.2)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            task.cancel()

    async def stop(self) -> None:
        await asyncio.to_thread(self.agent.kill)
        await asyncio.to_thread(self.triton.kill)

    async def desire(self, *models: Desired) -> None:
        """The node shall run exactly these."""
        prefix = desired_prefix(self.name)
        listing = await self.consul.kv.list(prefix)
        for model in models:
            await self.consul.kv.put(prefix + model.model, model.encode())
        for key in listing.entries.keys() - {prefix + model.model for model in models} - {prefix + SYNCED}:
            await self.consul.kv.delete(key)
        await self.consul.kv.put(prefix + SYNCED, Synced(epoch=listing.epoch).encode())

    async def status(self, model: str) -> Status | None:
        entry = await self.consul.kv.get(status_key(self.name, model))
        return read(Status, entry.value) if entry else None

    async def reaches(self, model: str, state: Step, version: int | None = None, timeout: float = 60) -> Status:
        """Waits until the node says this of the model."""

        async def look() -> Status | None:
            status = await self.status(model)
            right = status and status.state is state and version in (None, status.version)
            return status if right else None

        try:
            return await eventually(look, f"{model} {state}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {await self.status(model)}\n{self.agent.tail(40)}") from None

    async def leaves(self, model: str, timeout: float = 60) -> None:
        async def look() -> bool:
            return await self.status(model) is None

        await eventually(look, f"{model} gone", timeout)

    async def usable(self, wanted: bool = True, timeout: float = 60) -> Alive:
        async def look() -> Alive | None:
            entry = await self.consul.kv.get(node_alive(self.name))
            alive = read(Alive, entry.value) if entry else None
            return alive if alive and alive.usable is wanted else None

        try:
            return await eventually(look, f"node usable={wanted}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.agent.tail(40)}") from None

    async def answer(self, model: str, version: int = 0) -> list[float]:
        """What the model says of ones; raises what Triton says."""

        def ask() -> list[float]:
            with tc.InferenceServerClient(self.triton.grpc) as client:
                x = tc.InferInput("x", [1, 4], "FP32")
                x.set_data_from_numpy(ONES)
                result = client.infer(model, [x], model_version=str(version or ""), client_timeout=5)
                return [float(value) for value in result.as_numpy("y")[0]]

        return await asyncio.to_thread(ask)

    def preloaded(self) -> list[str]:
        return list(json.loads(self.triton.models_file.read_text()))
