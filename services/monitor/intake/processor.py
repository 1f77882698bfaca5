"""Receives sampled requests and answers: Envoy's external processing protocol in the mode in which it only looks on.

    ExternalProcessorServicer(on_pair, max_bytes=..., max_pair_bytes=...)    .counts: model -> Counts
    registration(servicer)                                                   for `services.kit.server.GrpcServer`

Envoy neither waits for answers nor gets any. A call is one sampled request; it ends with the answer's last piece.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from services.kit.server import Registration
from services.monitor.intake.pairs import Assembly, Pair, Unfit
from services.monitor.intake.wire import ProcessingRequest, ProcessingResponse

log = structlog.get_logger(__name__)

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
GATEWAY_KEY = "x-bmase-gateway"
MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Counts:
    """Of one model since the service started: pairs handed on, and requests that were not looked at to the end."""

    sampled: int = 0
    dropped: int = 0


class ExternalProcessorServicer:
    """Hands every whole pair to `on_pair`, which must be quick and never block.

    Pieces of requests under way take at most `max_bytes` together; a pair that is larger than `max_pair_bytes`, or for
    which there is no room, is dropped and counted.
    """

    def __init__(
        self, on_pair: Callable[[Pair], None], *, max_bytes: int = 64 * MEBIBYTE, max_pair_bytes: int = 4 * MEBIBYTE
    ) -> None:
        self._on_pair = on_pair
        self._max_bytes = max_bytes
        self._max_pair_bytes = max_pair_bytes
        self.held = 0
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)

    def dropped(self, model: str) -> int:
        """Sampled requests of a model that became no pair."""
        counts = self.counts.get(model)
        return counts.dropped if counts else 0

    async def Process(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802
        assembly = Assembly(_gateway(context))
        try:
            whole = await self._gather(assembly, requests)
        finally:
            self.held -= assembly.size
        found = assembly.pair() if whole else Unfit.BROKEN
        if found is Unfit.NOT_OURS:
            return
        counts = self.counts[assembly.model]
        if isinstance(found, Pair):
            counts.sampled += 1
            self._on_pair(found)
        else:
            counts.dropped += 1

    async def _gather(self, assembly: Assembly, requests: AsyncIterator[Any]) -> bool:
        """Whether the pair became whole, within the bounds. Who stops reading makes gRPC end the call."""
        async for message in requests:
            before = assembly.size
            whole = assembly.take(message)
            self.held += assembly.size - before
            if assembly.size > self._max_pair_bytes or self.held > self._max_bytes:
                return False
            if whole:
                return True
        return False


def _gateway(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == GATEWAY_KEY:
            return str(value)
    return ""


def registration(servicer: ExternalProcessorServicer) -> Registration:
    """The service as a server takes it."""
    return Registration(_add, servicer, SERVICE)


def _add(servicer: ExternalProcessorServicer, server: grpc.aio.Server) -> None:
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.Process, ProcessingRequest.FromString, ProcessingResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),))
