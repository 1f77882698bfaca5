"""A real monitor, models that misbehave when they are told to, and clients that can be told apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import grpc
import numpy as np
import tritonclient.grpc.aio as triton
from bmase.monitor.v1 import evidence_pb2, monitor_pb2, monitor_pb2_grpc
from tritonclient.utils import InferenceServerException

from infra.runtime.layout import CHECKOUT
from tests.support.consul import Consul
from tests.support.gateway import CONFIG, Platform
from tests.support.ports import free_ports
from tests.support.process import Process, accepts

# `behaviour.json` beside the model: version -> {"fail": share of the requests, "sleep": seconds of each}.
BEHAVING = """
import json, os, random, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.version = args["model_version"]
        self.file = os.path.join(args["model_repository"], "behaviour.json")

    def execute(self, requests):
        with open(self.file) as file:
            told = json.load(file).get(self.version, {})
        answers = []
        for request in requests:
            time.sleep(told.get("sleep", 0))
            if random.random() < told.get("fail", 0):
                answers.append(pb_utils.InferenceResponse([], pb_utils.TritonError("as told")))
                continue
            x = pb_utils.get_input_tensor_by_name(request, "x")
            y = pb_utils.Tensor("y", x.as_numpy())
            who = pb_utils.Tensor("version", np.array([[int(self.version)]], np.int32))
            answers.append(pb_utils.InferenceResponse([y, who]))
        return answers
"""


class Monitor:
    """One process; it serves only while it leads."""

    def __init__(self, folder: Path, consul: Consul, name: str = "monitor", **settings: object) -> None:
        self.name = name
        self.folder = folder / name
        self.port, self.metrics_port = free_ports(2)
        own = {
            "listen": self.address,
            "metrics_listen": f"127.0.0.1:{self.metrics_port}",
            "instance": name,
            "data_dir": self.folder,
            "drain_seconds": 1,
            **settings,
        }
        env = {f"BMASE_MONITOR_{key.upper()}": str(value) for key, value in own.items()}
        env["BMASE_CONSUL_URL"] = consul.url
        words = [sys.executable, "-m", "services.monitor"]
        self.process = Process(words, folder / f"{name}.log", name=name, env=env, cwd=CHECKOUT)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def serves(self) -> bool:
        """Whether it leads, so that it listens."""
        return accepts(self.port)

    def start(self) -> Self:
        self.process.start()
        return self

    def lead(self, timeout: float = 60) -> Self:
        """Waits until it leads: after a killed leader that takes a while."""
        self.process.wait_port(self.port, timeout)
        return self

    @contextlib.contextmanager
    def stub(self) -> Iterator[monitor_pb2_grpc.MonitorServiceStub]:
        with grpc.insecure_channel(self.address) as channel:
            yield monitor_pb2_grpc.MonitorServiceStub(channel)

    def compare(self, name: str, model: str, **policy: object) -> monitor_pb2.Comparison:
        """StartComparison of version 2 against version 1."""
        wanted = monitor_pb2.Comparison(
            name=f"comparisons/{name}",
            model=f"models/{model}",
            stable=1,
            candidate=2,
            policy=evidence_pb2.JudgePolicy(**policy),  # type: ignore[arg-type]
        )
        with self.stub() as stub:
            return stub.StartComparison(monitor_pb2.StartComparisonRequest(comparison=wanted), timeout=10)

    def get(self, name: str) -> monitor_pb2.Comparison:
        with self.stub() as stub:
            return stub.GetComparison(monitor_pb2.GetComparisonRequest(name=f"comparisons/{name}"), timeout=5)

    def evidence(self, name: str) -> evidence_pb2.Evidence:
        return self.get(name).evidence

    def end(self, name: str) -> monitor_pb2.Comparison:
        with self.stub() as stub:
            return stub.EndComparison(monitor_pb2.EndComparisonRequest(name=f"comparisons/{name}"), timeout=10)


def place_behaving(platform: Platform, model: str) -> None:
    """Version 1 on blue, version 2 on green, which behave until `behave` says otherwise."""
    for version, node in ((1, "blue"), (2, "green")):
        server = platform.nodes[node]
        home = server.repository / model
        (home / str(version)).mkdir(parents=True, exist_ok=True)
        (home / str(version) / "model.py").write_text(BEHAVING)
        (home / "behaviour.json").write_text("{}")
        (home / "config.pbtxt").write_text(CONFIG + f"version_policy: {{ specific: {{ versions: [{version}] }} }}\n")
        server.load(model)
    platform.place(model, {1: ["blue"], 2: ["green"]}, load=False)


def behave(platform: Platform, model: str, told: Mapping[int, Mapping[str, float]]) -> None:
    """From the next request on."""
    for node in platform.nodes.values():
        path = node.repository / model / "behaviour.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(told))
        beside.replace(path)


class Crowd:
    """So many requests a second, each of another client, from entering to leaving the `with`."""

    def __init__(self, address: str, model: str, rate: float = 60, clients: str = "client") -> None:
        self._address = address
        self._model = model
        self._rate = rate
        self._clients = clients
        self._stopping = threading.Event()
        self.answered: Counter[tuple[int, str]] = Counter()  # by version (0: it did not say) and status
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="crowd", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the crowd did not stop"

    @property
    def ok(self) -> int:
        return sum(count for (_, status), count in self.answered.items() if status == "OK")

    def wait(self, count: int, timeout: float = 60) -> None:
        """Until so many more were answered."""
        goal, deadline = sum(self.answered.values()) + count, time.monotonic() + timeout
        while sum(self.answered.values()) < goal:
            assert time.monotonic() < deadline, f"only {sum(self.answered.values())} of {goal} were answered"
            time.sleep(0.02)

    async def _run(self) -> None:
        async with triton.InferenceServerClient(self._address) as client:
            asking: set[asyncio.Task[None]] = set()
            turn = time.monotonic()
            while not self._stopping.is_set():
                self.sent += 1
                task = asyncio.create_task(self._ask(client, f"{self._clients}-{self.sent}"))
                asking.add(task)
                task.add_done_callback(asking.discard)
                turn = max(turn + 1 / self._rate, time.monotonic() - 1)
                await asyncio.sleep(turn - time.monotonic())
            await asyncio.gather(*asking)

    async def _ask(self, client: triton.InferenceServerClient, who: str) -> None:
        tensor = triton.InferInput("x", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 1), np.float32))
        try:
            result = await client.infer(
                self._model, [tensor], headers={"x-bmase-client": who}, client_timeout=10, request_id=who
            )
        except InferenceServerException as error:
            self.answered[0, str(error.status()).removeprefix("StatusCode.")] += 1
        else:
            self.answered[int(result.as_numpy("version")[0, 0]), "OK"] += 1
