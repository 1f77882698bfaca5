"""Moving traffic between two versions, and what of it can be seen from the clients' side."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bmase import Client

from examples.digits.traffic import Answer, Traffic

SPLIT_REQUESTS = 1_500
STEADY_REQUESTS = 200  # so many answers in a row by the new version end a switch
FIVE_SIGMA = 5.0


@dataclass(frozen=True)
class Switch:
    """From the call until the last answer by the version that left."""

    label: str
    seconds: float
    call_seconds: float


@dataclass(frozen=True)
class Split:
    """Answers by version while the weights stood."""

    wanted: float
    new: int
    all: int

    @property
    def observed(self) -> float:
        return self.new / self.all

    @property
    def plausible(self) -> bool:
        """Within five standard deviations of what independent draws would give."""
        return abs(self.observed - self.wanted) <= FIVE_SIGMA * math.sqrt(self.wanted * (1 - self.wanted) / self.all)


def split(client: Client, traffic: Traffic, model: str, weights: Mapping[int, int], new: int) -> Split:
    """Sets the weights and counts who answers."""
    client.routes.set_weights(model, weights)
    begun = time.monotonic()
    traffic.wait(lambda: len(_good(traffic.since(begun))) >= SPLIT_REQUESTS, f"{SPLIT_REQUESTS} answers")
    answers = _good(traffic.since(begun))
    return Split(weights[new] / sum(weights.values()), sum(a.version == new for a in answers), len(answers))


def switch(client: Client, traffic: Traffic, model: str, to: int, label: str) -> Switch:
    """Gives all traffic to one version and waits until no other answers."""
    begun = time.monotonic()
    client.routes.set_weights(model, {to: 100})
    called = time.monotonic()
    traffic.wait(lambda: _steady(traffic.since(begun), to), f"{STEADY_REQUESTS} answers by version {to} alone")
    left = [a.done for a in traffic.answers if a.done >= begun and a.version not in (to, 0)]
    return Switch(label, max(left, default=called) - begun, called - begun)


def _good(answers: list[Answer]) -> list[Answer]:
    return [a for a in answers if not a.failure]


def _steady(answers: list[Answer], version: int) -> bool:
    last = answers[-STEADY_REQUESTS:]
    return len(last) == STEADY_REQUESTS and all(a.version == version for a in last)
