"""From documents to what Envoy shall do for one model. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.documents import CaptureDocument, NodeDocument, PlacementDocument, RouteDocument
from services.gateway.envoy.snapshot import Capture, Endpoint, Mirror, ModelRoute, Node, Override, Target
from services.gateway.envoy.weights import normalise
from services.kit.config import split_address


def model_route(
    model: str,
    route: RouteDocument | None,
    placement: PlacementDocument | None,
    nodes: Mapping[str, Node],
    shown: CaptureDocument | None = None,
) -> ModelRoute | None:
    """None when there is nothing to route and no route.

    A version counts as placed when the address of at least one of its nodes is known. Versions that share all their
    nodes could not be told apart: of those only the first by number stays (the patcher never places them so).
    """
    targets = _targets(placement, nodes)
    capture = Capture(shown.percent, shown.judged, shown.slow_ms) if shown else Capture()
    if route is None:
        weights = tuple(0 for _ in targets)
        return ModelRoute(model, targets, weights, routed=False, capture=capture) if targets else None
    asked = {entry.version: entry.weight for entry in route.versions}
    placed = {target.version for target in targets}
    mirror = route.mirror if route.mirror and route.mirror.version in placed else None
    return ModelRoute(
        model=model,
        targets=targets,
        weights=normalise([asked.get(target.version, 0) for target in targets]),
        sticky_header=route.sticky.header if route.sticky else "",
        sticky_source_ip=route.sticky.source_ip if route.sticky else False,
        overrides=tuple(
            Override(rule.header, rule.value, rule.version) for rule in route.overrides if rule.version in placed
        ),
        mirror=Mirror(mirror.version, mirror.percent) if mirror else None,
        timeout=route.timeout,
        retries=route.retries,
        capture=capture,
    )


def _targets(placement: PlacementDocument | None, nodes: Mapping[str, Node]) -> tuple[Target, ...]:
    found: dict[tuple[str, ...], Target] = {}
    for version in placement.placed() if placement else ():
        known = tuple(name for name in placement.nodes_of(version) if name in nodes) if placement else ()
        if known:
            found.setdefault(known, Target(version, known))
    return tuple(found.values())


def node(document: NodeDocument) -> Node | None:
    """The node's addresses, None when they are none."""
    try:
        grpc = Endpoint(*split_address(document.grpc))
        http = Endpoint(*split_address(document.http)) if document.http else None
    except ValueError:
        return None
    return Node(document.name, grpc, http)
