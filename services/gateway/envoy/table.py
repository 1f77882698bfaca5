"""The route table as a file: the models' entries, and what comes after them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from services.gateway.envoy import capture, wire
from services.gateway.envoy.answers import MODEL_HEADER, VERSION_HEADER, Json, extension, typed
from services.gateway.envoy.capture import Sampling
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.models import encoded, retry_policy
from services.gateway.envoy.paths import fallthrough
from services.gateway.envoy.snapshot import ModelRoute

NAME = "models"
KIND = "envoy.config.route.v3.RouteConfiguration"


class RouteTable:
    """Makes the table from the models; keeps the bytes of each, so that a change of one encodes one."""

    def __init__(self, services: Iterable[str], limits: Limits) -> None:
        self._limits = limits
        self._services = tuple(services)
        self._shares = Sampling()
        self._encoded: dict[str, tuple[ModelRoute, bytes]] = {}

    def file(self, models: Mapping[str, ModelRoute], monitored: bool = False) -> tuple[str, bytes]:
        """The version, which names the content, and the file that Envoy reads."""
        shares = capture.sampling(models.values(), self._limits.capture_percent)
        if shares != self._shares:
            self._shares, self._encoded = shares, {}
        self._encoded = {model: self._one(route) for model, route in models.items()}
        body = self._configuration(b"".join(data for _, data in self._encoded.values()), monitored)
        version = hashlib.sha256(body).hexdigest()[:16]
        return version, wire.discovery(version, [body], KIND)

    def _one(self, route: ModelRoute) -> tuple[ModelRoute, bytes]:
        known = self._encoded.get(route.model)
        if known is not None and known[0] == route:
            return known
        return route, encoded(route, self._limits, self._shares)

    def _configuration(self, models: bytes, monitored: bool) -> bytes:
        by_header = extension("model", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=MODEL_HEADER)
        others = fallthrough(self._services, self._limits, self._shares.top if monitored else 0.0)
        rest = {"name": "rest", "typed_config": typed("envoy.config.route.v3.RouteList", routes=others)}
        no_match = wire.field("Matcher", "on_no_match", {"action": rest})
        if models:
            tree = wire.field("MatcherTree", "input", by_header) + wire.nested("MatcherTree", "exact_match_map", models)
            matcher = wire.nested("Matcher", "matcher_tree", tree) + no_match
        else:
            matcher = no_match
        host = wire.encode("VirtualHost", self._host()) + wire.nested("VirtualHost", "matcher", matcher)
        return wire.field(KIND, "name", NAME) + wire.nested(KIND, "virtual_hosts", host)

    def _host(self) -> Json:
        return {
            "name": "all",
            "domains": ["*"],
            "request_headers_to_remove": [MODEL_HEADER, VERSION_HEADER],
            "retry_policy": retry_policy(self._limits.retries),
            "request_body_buffer_limit": self._limits.message_bytes,
        }
