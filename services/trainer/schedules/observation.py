"""What a schedule sees of the world. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alert:
    """Of the monitor, open: nobody has acknowledged it, and it is not resolved."""

    id: str
    model: str
    version: int
    kind: str
    opened: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class DataSeen:
    """The data of a schedule. `listing` is of names, sizes and times; `digest` of the content, empty: not read."""

    listing: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The world at one moment.

    data     schedule -> its data, where it could be looked at
    alerts   all that are open; None: the monitor does not answer
    running  schedule -> its pipelines that have not ended; read after the schedules, so that it is never behind them
    """

    now: float
    data: Mapping[str, DataSeen] = field(default_factory=dict)
    alerts: tuple[Alert, ...] | None = ()
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
