"""Asks silent nodes' Tritons directly whether they live: a vanished key alone is never evidence that a node is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import grpc

PERIOD = 5.0
DEADLINE = 2.0
# Silent to Consul and to us for this long: not a hiccup of the network.
GIVEN_UP_AFTER = 30.0
# ServerLive takes an empty message and answers field 1 = true; spelled out, so that the patcher needs no Triton client.
LIVE = "/inference.GRPCInferenceService/ServerLive"
IS_LIVE = b"\x08\x01"


class Probes:
    """Who of the watched nodes answers. A node counts as answering until it has failed to for long enough."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}
        self._mute_since: dict[str, float] = {}

    def watch(self, targets: Mapping[str, str]) -> None:
        """Node -> address of its Triton, of exactly those that are to be asked from now on."""
        self._targets = dict(targets)
        for node in self._mute_since.keys() - targets.keys():
            del self._mute_since[node]

    def answering(self, node: str) -> bool:
        since = self._mute_since.get(node)
        return since is None or time.monotonic() - since < GIVEN_UP_AFTER

    def mute(self, node: str) -> bool:
        """Whether it did not answer when it was asked last."""
        return node in self._mute_since

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            targets = dict(self._targets)
            answers = await asyncio.gather(*(self._ask(address) for address in targets.values()))
            for node, answered in zip(targets, answers, strict=True):
                if answered:
                    self._mute_since.pop(node, None)
                elif node in self._targets:
                    self._mute_since.setdefault(node, time.monotonic())
            await asyncio.sleep(PERIOD)

    async def _ask(self, address: str) -> bool:
        channel = grpc.aio.insecure_channel(address)
        try:
            call = channel.unary_unary(LIVE)(b"", timeout=DEADLINE)
            return bool(await call == IS_LIVE)
        except grpc.aio.AioRpcError:
            return False
        finally:
            await channel.close()
