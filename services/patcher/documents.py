"""The documents that the patcher, the agents and the gateways exchange through Consul KV, and the keys they lie under.

Writers: `desired` and `placements` only the leading patcher; `info`, `alive` and `status` only the node's agent;
gateway reports and routes only the gateway. Readers ignore fields they do not know, so one side can be upgraded first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from services.kit.consul.documents import NODES, Document

# Lies among a node's desired models; no model name may begin with an underscore.
SYNCED = "_synced"


def node_info(node: str) -> str:
    return f"{NODES}{node}/info"


def node_alive(node: str) -> str:
    return f"{NODES}{node}/alive"


def desired_prefix(node: str) -> str:
    return f"{NODES}{node}/desired/"


def status_key(node: str, model: str) -> str:
    return f"{NODES}{node}/status/{model}"


class FileRole(StrEnum):
    """What a file of a version is for (`bmase.registry.v1.File.Role`)."""

    MODEL = "model"
    CONFIG = "config"
    SAMPLE = "sample"


class DesiredFile(Document):
    """A file of the version; the registry has checked the path, and the agent checks it again."""

    path: str
    digest: str
    size_bytes: int = Field(ge=0)
    role: FileRole = FileRole.MODEL


class Desired(Document):
    """What a node shall run of one model. `generation` grows when somebody asks again, so that the node tries again."""

    model: str
    version: int
    digest: str
    generation: int = 1
    fence: int = 0
    files: tuple[DesiredFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum({file.digest: file.size_bytes for file in self.files}.values())


class Synced(Document):
    """All desired models of the node are published under this epoch: from now on an absent key means "unload"."""

    epoch: str
    fence: int = 0


class Step(StrEnum):
    """How far a node is with a model (`bmase.patcher.v1.Placement.State`)."""

    ASSIGNED = "assigned"
    FETCHING = "fetching"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"
    LOST = "lost"


class Status(Document):
    """What an agent says of one model; the key is bound to the agent's session."""

    model: str
    version: int
    digest: str
    state: Step
    reason: str = ""
    message: str = ""
    since: float = 0.0
    generation: int = 1


class NodeInfo(Document):
    """Who a node is; not bound to a session, so a silent node is still known."""

    name: str
    pool: str = "default"
    grpc: str
    http: str = ""
    metrics: str = ""
    capacity_bytes: int = 0
    backends: tuple[str, ...] = ()


class Alive(Document):
    """Bound to the agent's session. Not usable: Triton is away, or computes wrong values."""

    usable: bool
    message: str = ""
    since: float = 0.0


class Placements(Document):
    """Where gateways may send requests for a model: version -> nodes. A version that is absent gets none."""

    revision: int
    fence: int = 0
    versions: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class GatewayReport(Document):
    """How far a gateway is. The indices are those of Consul under this epoch, and only mean something under it."""

    epoch: str = ""
    placements_index: int = 0
    routes_index: int = 0
    address: str = ""
    rejected: dict[str, str] = Field(default_factory=dict)  # models whose last change Envoy refused: the old one serves


VersionLike = Annotated[int, BeforeValidator(int)]  # proto3's JSON writes int64 as a string


class _Weighted(Document):
    version: VersionLike
    weight: VersionLike = 0


class _Pointed(Document):
    version: VersionLike


class RouteDocument(Document):
    """The part of a gateway's route that says which versions get requests."""

    versions: tuple[_Weighted, ...] = ()
    overrides: tuple[_Pointed, ...] = ()
    mirror: _Pointed | None = None

    def uses(self, version: int) -> bool:
        weighted = any(entry.version == version and entry.weight > 0 for entry in self.versions)
        overridden = any(entry.version == version for entry in self.overrides)
        return weighted or overridden or (self.mirror is not None and self.mirror.version == version)
