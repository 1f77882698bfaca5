"""Consul, nodes and gateways, with what the patcher, the agents and RouteService write put there in bulk."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Self

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.gateway import documents
from services.patcher.documents import NodeInfo, Placements
from tests.support.consul import Consul
from tests.support.gateway import Gateway
from tests.support.triton import Triton

# Where each version of a model is: version -> node.
Versions = Mapping[int, str]

TXN_OPERATIONS = 64  # Consul's limit
SERVED_SECONDS = 60


class Routing:
    """Ends what it started when it is left."""

    def __init__(self, folder: Path, nodes: Mapping[str, Triton], workers: int) -> None:
        self._folder = folder
        self._nodes = nodes
        self._workers = workers
        self._stack = ExitStack()
        self.consul = Consul(folder / "consul")

    def __enter__(self) -> Self:
        self.consul.start()
        self._stack.callback(self.consul.stop)
        self.put(
            {
                documents.node_key(name): NodeInfo(name=name, grpc=triton.grpc, http=triton.http).encode()
                for name, triton in self._nodes.items()
            }
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def gateway(self, name: str = "gateway", **settings: object) -> Gateway:
        """A started one."""
        gateway = Gateway(self._folder, self.consul, name, {"envoy_workers": self._workers, **settings})
        self._stack.callback(gateway.stop)
        return gateway.start()

    def place(self, models: Mapping[str, Versions]) -> None:
        """Placements, and routes that give all traffic to the first version."""
        self.place_only(models)
        self.put({documents.route_key(model): _route(versions) for model, versions in models.items()})

    def place_only(self, models: Mapping[str, Versions]) -> None:
        """Placements without routes."""
        self.put({documents.placement_key(model): _placement(versions) for model, versions in models.items()})

    def put(self, values: Mapping[str, bytes]) -> None:
        """Writes to Consul, as many as it takes at once."""
        items = iter(values.items())
        while some := list(islice(items, TXN_OPERATIONS)):
            self._commit(some)

    def delete(self, key: str) -> None:
        """One key is gone, as its owner may say."""
        request = urllib.request.Request(f"{self.consul.url}/v1/kv/{key}", method="DELETE")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) is True

    def _commit(self, items: Iterable[tuple[str, bytes]]) -> None:
        operations = [
            {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}} for key, value in items
        ]
        request = urllib.request.Request(
            f"{self.consul.url}/v1/txn", data=json.dumps(operations).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert not json.load(answer)["Errors"]

    def wait_served(self, gateway: Gateway, *models: str) -> float:
        """Waits until every one of them is ready for clients; the seconds it took."""
        begun = time.monotonic()
        with grpc.insecure_channel(gateway.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not all(_ready(stub, model) for model in models):
                assert time.monotonic() < begun + SERVED_SECONDS, f"not served: {models[-1]}\n{gateway.process.tail()}"
                time.sleep(0.02)
        return time.monotonic() - begun


def _ready(stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str) -> bool:
    try:
        return bool(stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=5).ready)
    except grpc.RpcError:
        return False


def _placement(versions: Versions) -> bytes:
    return Placements(revision=1, versions={str(version): (node,) for version, node in versions.items()}).encode()


def _route(versions: Versions) -> bytes:
    weighted = [documents.Weighted(version=v, weight=0 if place else 100) for place, v in enumerate(versions)]
    return documents.RouteDocument(versions=tuple(weighted), update_time="2026-01-01T00:00:00+00:00").encode()
