"""What Envoy shall do, as immutable values that check themselves before anything is made from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

# Weights of a model always add up to this: sticky hashing takes the hash modulo the sum, so a constant sum is what
# keeps a client where it is when weights move. It is a prime: Envoy takes the same random number modulo 10,000 or a
# million for shares of requests (samples, mirrors), and those must not depend on the version that was chosen.
TOTAL_WEIGHT = 999_983

_MODEL = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[a-z0-9!#$&'*+.^_`|~-]{1,128}")
_READABLE_SET = 48

# A set of nodes is two clusters: gRPC, and its twin for HTTP v2.
HTTP_SUFFIX = ":http"
SET_PREFIX = "nodes:"


class SnapshotError(ValueError):
    """The snapshot contradicts itself; it is a defect of whoever built it, and it is not published."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where something listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Node:
    """A serving node: one Triton. Without an HTTP address it serves gRPC only."""

    name: str
    grpc: Endpoint
    http: Endpoint | None = None


@cache
def cluster_name(nodes: tuple[str, ...]) -> str:
    """The cluster of a set of nodes: the same for every model and version placed on exactly these."""
    joined = "+".join(sorted(nodes))
    if len(joined) > _READABLE_SET:
        joined = f"{len(nodes)}-{hashlib.sha256(joined.encode()).hexdigest()[:16]}"
    return SET_PREFIX + joined


@dataclass(frozen=True, slots=True)
class Target:
    """A version and the nodes that have it ready."""

    version: int
    nodes: tuple[str, ...]

    @property
    def cluster(self) -> str:
        return cluster_name(self.nodes)


@dataclass(frozen=True, slots=True)
class Override:
    """Requests with this header (and this value, unless it is empty) go to this version."""

    header: str
    value: str
    version: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """This share of the requests is copied to this version."""

    version: int
    percent: float


@dataclass(frozen=True, slots=True)
class Capture:
    """What the monitor is shown of a model.

    percent    of its requests, with their answers; None: the gateway's default
    judged     each bad request by weight, with who asked; bad is an error of the server, or slower than slow_ms
    """

    percent: float | None = None
    judged: bool = False
    slow_ms: float = 0.0


@dataclass(frozen=True)
class ModelRoute:
    """Where the requests of one model go.

    targets      every version that is on a node, by number, traffic or not: so that giving it some changes only weights
    weights      one a target; they add up to TOTAL_WEIGHT, or are all 0 when no version with traffic is on a node
    routed       whether there is a route; without one only requests that name a version are served
    """

    model: str
    targets: tuple[Target, ...]
    weights: tuple[int, ...]
    routed: bool = True
    sticky_header: str = ""
    sticky_source_ip: bool = False
    overrides: tuple[Override, ...] = ()
    mirror: Mirror | None = None
    timeout: float | None = None
    retries: int = 0
    capture: Capture = Capture()

    @cached_property
    def structure(self) -> str:
        """Names the list that weights belong to: weights for another list must never be applied to this one."""
        listed = ",".join(f"{target.version}={target.cluster}" for target in self.targets)
        return hashlib.sha256(listed.encode()).hexdigest()[:12]

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """Everything but the weights."""
        return (
            self.targets,
            self.routed,
            any(self.weights),
            self.sticky_header,
            self.sticky_source_ip,
            self.overrides,
            self.mirror,
            self.timeout,
            self.retries,
            self.capture,
        )

    def target(self, version: int) -> Target | None:
        """Where a version is, None when it is on no node."""
        return next((target for target in self.targets if target.version == version), None)

    @cached_property
    def runtime_weights(self) -> tuple[tuple[str, int], ...]:
        """The weights under the keys that Envoy looks up, for the clusters of both protocols."""
        prefix = runtime_prefix(self)
        pairs = list(zip(self.targets, self.weights, strict=True))
        return tuple((f"{prefix}.{t.cluster}{door}", w) for door in ("", HTTP_SUFFIX) for t, w in pairs)

    def check(self) -> None:
        """Raises SnapshotError when the route could not mean what it says."""
        versions = [target.version for target in self.targets]
        clusters = {target.cluster for target in self.targets}
        _require(bool(_MODEL.fullmatch(self.model)), self.model, "the name is not one of a model")
        _require(versions == sorted(set(versions)), self.model, "versions are not in order")
        # Two live versions never share a node; with one set for both, weights could not tell them apart.
        _require(len(clusters) == len(versions), self.model, "two versions are on the same nodes")
        _require(len(self.weights) == len(versions), self.model, "weights and versions differ in number")
        _require(sum(self.weights) in (0, TOTAL_WEIGHT), self.model, "weights do not add up")
        _require(min(self.weights, default=0) >= 0, self.model, "a weight is negative")
        header = self.sticky_header
        _require(not header or bool(_HEADER.fullmatch(header)), self.model, f"{header!r} is not a header")
        for override in self.overrides:
            _require(bool(_HEADER.fullmatch(override.header)), self.model, f"{override.header!r} is not a header")
            _require(override.version in versions, self.model, f"override to version {override.version}: not placed")
        if self.mirror:
            _require(self.mirror.version in versions, self.model, "the mirrored version is not placed")
            _require(0 < self.mirror.percent <= 100, self.model, "the mirrored share is out of range")


def runtime_prefix(route: ModelRoute) -> str:
    """Where Envoy looks for the weights of a model, given the list it has."""
    return f"weights.{route.model}.{route.structure}"


@dataclass(frozen=True)
class Snapshot:
    """All of what Envoy shall do, at one moment. `monitored`: there is a monitor to show requests to."""

    models: Mapping[str, ModelRoute] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    services: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    monitored: bool = False

    @cached_property
    def node_sets(self) -> dict[str, tuple[str, ...]]:
        """The clusters that the models need: name and nodes."""
        return {t.cluster: t.nodes for route in self.models.values() for t in route.targets}

    def check(self) -> None:
        """Raises SnapshotError; a route that passed once is not looked at again (it is immutable)."""
        for name, route in self.models.items():
            _require(name == route.model, name, f"is filed under another name than {route.model!r}")
            _check_once(route)
        for cluster, nodes in self.node_sets.items():
            _require(bool(nodes), cluster, "has no nodes")
            for node in nodes:
                _require(node in self.nodes, cluster, f"names node {node!r}, whose address is not known")


def _check_once(route: ModelRoute) -> None:
    if not route.__dict__.get("_checked"):
        route.check()
        route.__dict__["_checked"] = True


def _require(holds: bool, what: str, why: str) -> None:
    if not holds:
        raise SnapshotError(f"{what[:80]}: {why}")
