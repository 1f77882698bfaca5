"""All of Envoy's files for one gateway: settings and a snapshot in, file contents out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.gateway.envoy import capture, descriptors, files, platform, shown, statistics
from services.gateway.envoy.answers import Json
from services.gateway.envoy.bootstrap import WEIGHTS, bootstrap
from services.gateway.envoy.clusters import node_clusters, platform_clusters, service_clusters
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.listener import Files, listeners
from services.gateway.envoy.snapshot import Endpoint, ModelRoute, Node, Snapshot
from services.gateway.envoy.table import RouteTable


@dataclass(frozen=True)
class Made:
    """The content of one watched file, and the version under which Envoy will report it."""

    path: Path
    version: str
    data: bytes


@dataclass
class Configuration:
    """One gateway's Envoy."""

    name: str
    address: Endpoint
    admin: Endpoint
    statistics: Endpoint
    files: Files
    limits: Limits = field(default_factory=Limits)
    listener_tls: Json | None = None
    service_tls: Json | None = None
    monitor_token: bool = False

    def __post_init__(self) -> None:
        self.api_services, self._api_descriptors = descriptors.api()
        self.packages = descriptors.packages(self.api_services)
        self._source = capture.Source(self.name, self.monitor_token)
        self._table = RouteTable(self.packages, self.limits)

    def static(self) -> dict[Path, bytes]:
        """Files that depend on settings only. The listeners' version names their content."""
        outer = listeners(self.address, self.files, self.limits, self.api_services, self._source, tls=self.listener_tls)
        outer.append(statistics.listener(self.statistics))
        start = bootstrap(self.name, self.admin, self.files, self.limits)
        return {
            self.files.inference_descriptors: descriptors.inference(),
            self.files.api_descriptors: self._api_descriptors,
            self.files.bootstrap: files.as_json(start),
            self.files.listeners: _resources(outer),
            self.files.allowance: _resources([shown.allowance()]),
        }

    def clusters(self, sets: Mapping[str, tuple[str, ...]], snapshot: Snapshot, inherited: Iterable[Json] = ()) -> Made:
        """Clusters of these sets of nodes (which may be more than the snapshot needs) and of all services.

        `inherited` are taken over as they are.
        """
        made = [*platform_clusters(), *service_clusters(snapshot.services, self.packages, self.service_tls)]
        monitors = snapshot.services.get(capture.MONITOR, ()) if snapshot.monitored else ()
        made += [statistics.cluster(self.admin), *capture.clusters(monitors, self.service_tls, self._source)]
        for name in sorted(sets):
            nodes: Iterable[Node] = (snapshot.nodes[node] for node in sets[name])
            made += node_clusters(name, nodes, self.limits)
        made += inherited
        version = _version(made)
        return Made(self.files.clusters, version, files.resources(version, made))

    def routes(self, models: Mapping[str, ModelRoute], monitored: bool = False) -> Made:
        """The route table with the present weights."""
        version, data = self._table.file(models, monitored)
        return Made(self.files.routes, version, data)

    def platform(self, models: Mapping[str, ModelRoute]) -> Made:
        """What the platform says about itself."""
        version, data = platform.file(models)
        return Made(self.files.platform, version, data)

    def weights(self, keys: Mapping[str, int]) -> Made:
        """Weights that moved since the route table was written."""
        version = _version(keys)
        layer = {"@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime", "name": WEIGHTS, "layer": dict(keys)}
        # On one line: Python indents with an encoder that is ten times slower.
        data = json.dumps({"version_info": version, "resources": [layer]}).encode()
        return Made(self.files.weights, version, data)

    def first(self) -> list[Made]:
        """What Envoy starts with when nothing is known yet."""
        empty = Snapshot()
        return [self.clusters({}, empty), self.routes({}), self.platform({}), self.weights({})]


def _resources(content: list[Json]) -> bytes:
    return files.resources(_version(content), content)


def _version(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
