"""What an alert is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from bmase.monitor.v1 import monitor_pb2 as pb


class State(StrEnum):
    """Open ones want somebody's attention; acknowledged ones have it; resolved ones are history."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


class Scope(NamedTuple):
    """What was looked at. An alert whose scope was looked at and whose feature was not found is over."""

    model: str
    version: int
    kind: str  # drift, quality, outcomes


class Finding(NamedTuple):
    """What is wrong now with one group of features; an alert stands for it."""

    feature: str
    message: str
    effect: float


_STATES = {
    State.OPEN: pb.Alert.STATE_OPEN,
    State.ACKNOWLEDGED: pb.Alert.STATE_ACKNOWLEDGED,
    State.RESOLVED: pb.Alert.STATE_RESOLVED,
}


@dataclass(frozen=True)
class Alert:
    """`number` grows with every alert and is never used again. Times are seconds since 1970."""

    number: int
    model: str
    version: int
    kind: str
    feature: str
    message: str
    effect: float
    open_time: float
    update_time: float
    state: State = State.OPEN
    acknowledged_by: str = ""

    @property
    def name(self) -> str:
        """E.g. `alerts/17`."""
        return f"alerts/{self.number}"

    @property
    def scope(self) -> Scope:
        """What has to be clean for it to be over."""
        return Scope(self.model, self.version, self.kind)

    @property
    def resolved(self) -> bool:
        """Whether it is history."""
        return self.state is State.RESOLVED

    def message_of(self) -> pb.Alert:
        """For the wire."""
        made = pb.Alert(
            name=self.name,
            model=f"models/{self.model}",
            version=self.version,
            kind=self.kind,
            feature=self.feature,
            message=self.message,
            state=_STATES[self.state],
            acknowledged_by=self.acknowledged_by,
            effect=self.effect,
        )
        made.open_time.FromNanoseconds(int(self.open_time * 1e9))
        made.update_time.FromNanoseconds(int(self.update_time * 1e9))
        return made

    def to_json(self) -> dict[str, Any]:
        """For the file and the webhook."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Alert:
        """What was written."""
        fields = {name: item[name] for name in cls.__dataclass_fields__}
        return cls(**fields | {"state": State(item["state"])})
