"""The documents of others that the monitor reads in Consul, the one it writes, and where they lie.

    bmase/routes/<model>                   the gateways': which version gets how much
    bmase/placements/<model>               the patcher's: on which nodes a version is
    bmase/gateways/<gateway>               each gateway's: how far it is, and where its counters are
    bmase/nodes/<node>/status/<model>      the agents', bound to their sessions
    bmase/captures/<model>                 ours: what the gateways shall show of a model

Fields that are not known are ignored, so that one side can be upgraded first.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from services.kit.consul.documents import Document

READY = "ready"


class Weighted(Document):
    """A version's part of the traffic, relative to the others'."""

    version: int
    weight: int = 0


class StickyRule(Document):
    """Present when requests stay with the version they had; by what, does not matter here."""

    header: str = ""
    source_ip: bool = False

    @property
    def active(self) -> bool:
        return bool(self.header) or self.source_ip


class RouteDocument(Document):
    """The part of a route that says which version gets how much."""

    versions: tuple[Weighted, ...] = ()
    sticky: StickyRule | None = None
    update_time: str = ""

    @property
    def is_sticky(self) -> bool:
        return self.sticky is not None and self.sticky.active


class Placements(Document):
    """On which nodes each version is."""

    versions: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def has(self, version: int) -> bool:
        """Whether requests may go to the version at all."""
        return bool(self.versions.get(str(version)))


class GatewayReport(Document):
    """How far a gateway is, and `host:port` of its counters."""

    epoch: str = ""
    placements_index: int = 0
    routes_index: int = 0
    statistics: str = ""


class NodeStatus(Document):
    """What an agent says of one model."""

    model: str
    version: int
    state: str = ""


class CaptureDocument(Document):
    """What the gateways show of a model. A percentage that is absent is the gateway's own default."""

    model_config = ConfigDict(frozen=True, extra="allow")

    percent: float | None = None
    judged: bool = False
    slow_ms: float = 0.0

    def encode(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()

    @property
    def says_nothing(self) -> bool:
        """The same as if there were no document."""
        return not self.model_dump(exclude_defaults=True)
