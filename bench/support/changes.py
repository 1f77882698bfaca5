"""Changes of routes by the real RouteService, timed until clients see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Self

import grpc
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1 import route_pb2_grpc
from tritonclient.grpc import service_pb2_grpc

from bench.support.routing import Routing, Versions
from bench.support.triton import Model
from services.gateway import documents
from tests.support.gateway import Gateway, weighted

PROBES = 4  # connections, so that all workers of Envoy are asked
PROBED_TWICE = 2 * PROBES
CALL_SECONDS = 30
SEEN_SECONDS = 60


class Changes:
    """A caller of RouteService and a few clients of one gateway."""

    def __init__(self, gateway: Gateway, model: Model) -> None:
        self._address = gateway.address
        self._model = model
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [self._stack.enter_context(grpc.insecure_channel(self._address, own)) for _ in range(PROBES + 1)]
        self._routes = route_pb2_grpc.RouteServiceStub(channels[0])
        self._probes = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels[1:]]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def switch(self, model: str, to: int, versions: Versions) -> float:
        """Seconds until all traffic of the model goes to one version and the call has returned."""
        weights = weighted({version: 100 if version == to else 0 for version in versions})
        begun = time.perf_counter()
        self._routes.SetWeights(pb.SetWeightsRequest(name=f"routes/{model}", versions=weights), timeout=CALL_SECONDS)
        done, right, turn = time.perf_counter(), 0, 0
        while right < PROBED_TWICE:
            if self._version(turn, model) == to:
                right += 1
            else:
                done, right = time.perf_counter(), 0
            assert done < begun + SEEN_SECONDS, f"{model} is not answered by version {to} alone"
            turn += 1
        return done - begun

    def add(self, routing: Routing, model: str, versions: Versions) -> float:
        """Seconds until a model that the gateway did not know is answered; afterwards it is taken away again."""
        route = pb.Route(name=f"routes/{model}", versions=weighted(_all_to_first(versions)))
        begun = time.perf_counter()
        routing.place_only({model: versions})
        self._routes.UpdateRoute(pb.UpdateRouteRequest(route=route, allow_missing=True), timeout=CALL_SECONDS)
        _until(lambda: self._answered(model), f"{model} is not served")
        took = time.perf_counter() - begun
        self._routes.DeleteRoute(pb.DeleteRouteRequest(name=f"routes/{model}"), timeout=CALL_SECONDS)
        routing.delete(documents.placement_key(model))
        _until(lambda: not self._answered(model, version="1"), f"{model} is still served")
        return took

    def _version(self, turn: int, model: str) -> int:
        answer = self._probes[turn % PROBES].ModelInfer(self._model.request(model), timeout=CALL_SECONDS)
        return int(answer.model_version)

    def _answered(self, model: str, version: str = "") -> bool:
        request = self._model.request(model)
        request.model_version = version
        try:
            self._model.check(self._probes[0].ModelInfer(request, timeout=CALL_SECONDS))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True


def _all_to_first(versions: Versions) -> Mapping[int, int]:
    return {version: 0 if place else 100 for place, version in enumerate(versions)}


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.perf_counter() + SEEN_SECONDS
    while not holds():
        assert time.perf_counter() < deadline, otherwise
        time.sleep(0.002)
