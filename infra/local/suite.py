"""What a suite is, and one of its programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.local.place import Identity, Place
from infra.local.ports import HOST

SERVICE_STOP_SECONDS = 15


@dataclass(frozen=True)
class Program:
    """One process under supervisord.

    `stage` orders stopping: a higher one stops earlier, one stage at a time. Starting has no order; programs wait for
    each other by themselves.
    """

    name: str
    command: tuple[str, ...]
    stage: int
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: int = SERVICE_STOP_SECONDS


@dataclass(frozen=True)
class Suite:
    """Everything that the programs are made from."""

    place: Place
    identity: Identity
    ports: Mapping[str, int]
    grafana: str = ""  # the server's program, where one is installed

    def address(self, name: str) -> str:
        return f"{HOST}:{self.ports[name]}"

    @property
    def consul_url(self) -> str:
        return f"http://{self.address('consul')}"

    @property
    def observed(self) -> bool:
        """Whether Prometheus and Alertmanager are part of it."""
        return self.identity.observed

    @property
    def trains(self) -> bool:
        """Whether the trainer is part of it."""
        return self.identity.trains

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.identity.nodes
