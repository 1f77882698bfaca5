"""A real gateway before real Tritons: Envoy and the control process as the suite runs them, and a real Consul.

The patcher's and the agents' part is played by the test: it puts models on nodes and writes where they are.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1 import route_pb2_grpc
from tritonclient.utils import InferenceServerException

from infra.runtime import ensure
from infra.runtime.layout import CHECKOUT
from tests.support.consul import Consul
from tests.support.ports import free_ports
from tests.support.process import Process
from tests.support.triton import Triton

MODEL_CODE = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.version = int(args["model_version"])

    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if x.size and np.isnan(x.flat[0]):
                answers.append(pb_utils.InferenceResponse([], pb_utils.TritonError("as asked")))
                continue
            if x.size and x.flat[0] < 0:
                time.sleep(-float(x.flat[0]))
            y = pb_utils.Tensor("y", x)
            who = pb_utils.Tensor("version", np.array([[self.version]], np.int32))
            answers.append(pb_utils.InferenceResponse([y, who]))
        return answers
"""

CONFIG = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [1, -1] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [1, -1] }, { name: "version" data_type: TYPE_INT32 dims: [1, 1] }]
instance_group [{ kind: KIND_CPU count: 2 }]
"""


class Gateway:
    """Envoy and control; each can be killed and started by itself. Addresses stay the same."""

    def __init__(self, folder: Path, consul: Consul, name: str = "gw", settings: Mapping[str, object] | None = None):
        ensure(["envoy"])
        self.name = name
        self.port, self.admin_port, self.statistics_port, self.control_port = free_ports(4)
        self.folder = folder / name
        own = {
            "listen": self.control,
            "instance": name,
            "data_dir": self.folder,
            "envoy_listen": self.address,
            "envoy_admin": f"127.0.0.1:{self.admin_port}",
            "envoy_statistics": self.statistics,
            "envoy_workers": 2,
            "drain_seconds": 1,
            **(settings or {}),
        }
        env = {f"BMASE_GATEWAY_{key.upper()}": str(value) for key, value in own.items()}
        env["BMASE_CONSUL_URL"] = consul.url
        words = [sys.executable, "-m"]
        self.envoy = Process(
            [*words, "services.gateway.envoy.launch"], folder / f"{name}-envoy.log", name="envoy", env=env, cwd=CHECKOUT
        )
        self.process = Process(
            [*words, "services.gateway"], folder / f"{name}-control.log", name="gateway", env=env, cwd=CHECKOUT
        )

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def statistics(self) -> str:
        """Where others read Envoy's counters."""
        return f"127.0.0.1:{self.statistics_port}"

    @property
    def control(self) -> str:
        """Where the control process serves its API itself."""
        return f"127.0.0.1:{self.control_port}"

    def start(self) -> Gateway:
        """Both, and waits until both answer."""
        self.start_envoy()
        return self.start_control()

    def start_envoy(self) -> Gateway:
        self.envoy.start().wait_until(lambda: self.admin("/ready").strip() == "LIVE", "Envoy live")
        return self

    def start_control(self) -> Gateway:
        self.process.start().wait_port(self.control_port)
        return self

    def close(self) -> None:
        self.process.kill()
        self.envoy.kill()

    def admin(self, path: str) -> str:
        """A page of Envoy's admin interface, empty while there is none."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}") as page:
            return str(page.read().decode())
        return ""

    def stat(self, name: str) -> int:
        """One counter or gauge of Envoy."""
        for line in self.admin(f"/stats?filter={quote(f'^{re.escape(name)}$')}").splitlines():
            return int(line.rsplit(":", 1)[1])
        return 0

    @contextlib.contextmanager
    def routes(self, address: str = "") -> Iterator[route_pb2_grpc.RouteServiceStub]:
        """A stub of RouteService, through Envoy unless told otherwise."""
        with grpc.insecure_channel(address or self.control) as channel:
            yield route_pb2_grpc.RouteServiceStub(channel)

    def set_route(self, model: str, weights: Mapping[int, int], **more: Any) -> pb.Route:
        """UpdateRoute with these weights."""
        route = pb.Route(name=f"routes/{model}", versions=weighted(weights), **more)
        with self.routes() as stub:
            return stub.UpdateRoute(pb.UpdateRouteRequest(route=route, allow_missing=True), timeout=20)

    def set_weights(self, model: str, weights: Mapping[int, int]) -> pb.Route:
        """SetWeights."""
        with self.routes() as stub:
            return stub.SetWeights(pb.SetWeightsRequest(name=f"routes/{model}", versions=weighted(weights)), timeout=20)


def weighted(weights: Mapping[int, int]) -> list[pb.WeightedVersion]:
    return [pb.WeightedVersion(version=version, weight=weight) for version, weight in weights.items()]


class Platform:
    """Consul, nodes and one gateway; what the patcher and the agents do is done by `place` and `introduce`."""

    def __init__(self, folder: Path, nodes: Sequence[str] = ("blue", "green"), **settings: object) -> None:
        self.folder = folder
        self.consul = Consul(folder / "consul").start()
        self.nodes = {name: Triton(folder / name, name) for name in nodes}
        self.placements: dict[str, dict[int, list[str]]] = {}
        self.gateway = Gateway(folder, self.consul, settings=settings)

    def start(self) -> Platform:
        for triton in self.nodes.values():
            triton.repository.mkdir(parents=True, exist_ok=True)
            triton.start([])
        self.introduce()
        self.gateway.start()
        return self

    def close(self) -> None:
        self.gateway.close()
        for triton in self.nodes.values():
            triton.kill()
        self.consul.kill()

    def introduce(self) -> None:
        """Writes the addresses of the nodes, as their agents do."""
        for name, triton in self.nodes.items():
            document = {"name": name, "pool": "default", "grpc": triton.grpc, "http": triton.http}
            self.put(f"bmase/nodes/{name}/info", document)

    def load(self, model: str, version: int, node: str) -> None:
        """Lays the model out on the node and loads it; it answers with its version."""
        triton = self.nodes[node]
        home = triton.repository / model
        (home / str(version)).mkdir(parents=True, exist_ok=True)
        (home / str(version) / "model.py").write_text(MODEL_CODE)
        (home / "config.pbtxt").write_text(CONFIG + f"version_policy: {{ specific: {{ versions: [{version}] }} }}\n")
        triton.load(model)

    def place(self, model: str, versions: Mapping[int, Sequence[str]], *, load: bool = True) -> None:
        """Loads the versions on the nodes and tells the gateways."""
        if load:
            for version, nodes in versions.items():
                for node in nodes:
                    self.load(model, version, node)
        self.placements[model] = {version: list(nodes) for version, nodes in versions.items()}
        self.publish_placement(model)

    def publish_placement(self, model: str) -> None:
        """Writes where the model is, as the patcher does."""
        versions = {str(version): nodes for version, nodes in self.placements[model].items()}
        self.put(f"bmase/placements/{model}", {"revision": 1, "fence": 1, "versions": versions})

    def put(self, key: str, document: object) -> None:
        request = urllib.request.Request(
            f"{self.consul.url}/v1/kv/{key}", data=json.dumps(document).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) is True

    def delete(self, key: str) -> None:
        """Takes a document out of Consul."""
        request = urllib.request.Request(f"{self.consul.url}/v1/kv/{key}", method="DELETE")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) is True

    def show(self, model: str, **wanted: object) -> None:
        """Says what the monitor wants to see of a model, as the monitor does, and waits until Envoy does it."""
        key = f"bmase/captures/{model}"
        self.put(key, wanted)
        document = self.get(key)
        assert document is not None
        eventually(lambda: self.applied_captures() >= document["_index"], f"{model} is shown so")

    def applied_captures(self) -> int:
        """Up to which index of Consul the gateway shows what it is told to."""
        report = self.get(f"bmase/gateways/{self.gateway.name}") or {}
        return int(report.get("captures_index", 0))

    def get(self, key: str) -> dict[str, Any] | None:
        """The document at a key of Consul, with its index under `_index`."""
        try:
            with urllib.request.urlopen(f"{self.consul.url}/v1/kv/{key}", timeout=5) as answer:
                entry = json.load(answer)[0]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return {**json.loads(base64.b64decode(entry["Value"])), "_index": entry["ModifyIndex"]}


def ask(client: triton_grpc.InferenceServerClient, model: str, value: float = 1.0, **options: Any) -> int:
    """One inference; the version that answered, after its answer was checked."""
    x = np.array([[value]], np.float32)
    tensor = triton_grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(x)
    result = client.infer(model, [tensor], **options)
    assert np.array_equal(result.as_numpy("y"), x)
    return int(result.as_numpy("version")[0, 0])


def fail(client: triton_grpc.InferenceServerClient, model: str, **options: Any) -> str:
    """One inference at which the model itself fails; the status."""
    tensor = triton_grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[np.nan]], np.float32))
    try:
        client.infer(model, [tensor], **options)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    raise AssertionError(f"{model} answered what it cannot answer")


def eventually(holds: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Waits until it holds; errors on the way count as not yet."""
    deadline = time.monotonic() + timeout
    last: BaseException | None = None
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except Exception as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s: {what}; last error: {last!r}")
