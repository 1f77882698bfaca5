"""The documents that the gateway reads and writes in Consul, and where they lie.

    bmase/routes/<model>          ours: RouteDocument
    bmase/placements/<model>      the patcher's: where each version is ready
    bmase/nodes/<node>/info       the agent's: the node's addresses
    bmase/captures/<model>        the monitor's: what it shall be shown of the model
    bmase/gateways/<gateway>      ours: how far this gateway is

Fields that are not known are ignored, so that one side can be upgraded first.
"""

from __future__ import annotations

from pydantic import Field

from services.kit.consul import documents
from services.kit.consul.documents import NODES, PLACEMENTS, ROUTES


def route_key(model: str) -> str:
    return ROUTES + model


def placement_key(model: str) -> str:
    return PLACEMENTS + model


def node_key(node: str) -> str:
    return f"{NODES}{node}/info"


class Document(documents.Document):
    """What is as it is without being said is left out: routes are many."""

    def encode(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()


class Weighted(Document):
    """A version's part of the traffic, relative to the others'."""

    version: int = Field(ge=1)
    weight: int = Field(default=0, ge=0, le=1_000_000)


class StickyRule(Document):
    """What keeps requests on one version: the value of a header, or where they come from."""

    header: str = ""
    source_ip: bool = False


class OverrideRule(Document):
    """Requests with this header (an empty value: any) go to this version."""

    header: str
    value: str = ""
    version: int = Field(ge=1)


class MirrorRule(Document):
    """A copy of this share of the requests goes to a version too."""

    version: int = Field(ge=1)
    percent: float = Field(gt=0, le=100)


class RouteDocument(Document):
    """A route as it is stored.

    update_time    RFC 3339
    release        the release that holds the route; empty: anybody may change it
    fence          the highest that a release has come with; it outlives the release
    """

    versions: tuple[Weighted, ...] = ()
    sticky: StickyRule | None = None
    overrides: tuple[OverrideRule, ...] = ()
    mirror: MirrorRule | None = None
    timeout: float | None = Field(default=None, ge=0)
    retries: int = Field(default=0, ge=-1, le=10)
    update_time: str = ""
    release: str = ""
    fence: int = 0

    def used(self) -> set[int]:
        """Versions that the route cannot do without."""
        used = {entry.version for entry in self.versions if entry.weight}
        used |= {rule.version for rule in self.overrides}
        return used | ({self.mirror.version} if self.mirror else set())


class PlacementDocument(Document):
    """Where the patcher says requests may go: version -> nodes."""

    revision: int = 0
    fence: int = 0
    versions: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def nodes_of(self, version: int) -> tuple[str, ...]:
        return tuple(sorted(set(self.versions.get(str(version), ()))))

    def placed(self) -> list[int]:
        """Versions that are on a node, in order."""
        return sorted(int(v) for v, nodes in self.versions.items() if nodes and v.isdecimal() and int(v) > 0)


class NodeDocument(Document):
    """Addresses of a node's Triton, `host:port`."""

    name: str
    grpc: str
    http: str = ""


class CaptureDocument(Document):
    """What the monitor is shown of a model.

    percent    of the requests, with their answers; None: the gateway's own default
    judged     each bad request by weight is told, with who asked
    slow_ms    slower is bad; 0: none is
    """

    percent: float | None = Field(default=None, ge=0, le=100)
    judged: bool = False
    slow_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class GatewayReport(Document):
    """How far a gateway is: it has applied everything up to these indices of Consul, under this epoch.

    `statistics` is host:port where its Envoy serves GET /stats/prometheus.
    """

    epoch: str = ""
    placements_index: int = 0
    routes_index: int = 0
    captures_index: int = 0
    address: str = ""
    statistics: str = ""
    routes: int = 0
    rejected: dict[str, str] = Field(default_factory=dict)
    time: str = ""
