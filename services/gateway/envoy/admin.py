"""Questions to Envoy's admin interface: which version of each file it runs with, and what it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from services.gateway.envoy.platform import NAME as PLATFORM
from services.gateway.envoy.snapshot import Endpoint
from services.gateway.envoy.table import NAME as MODELS

ASK_SECONDS = 10.0

# The prefix of Envoy's statistics about each file.
CLUSTERS = "cluster_manager.cds"
ROUTES = f"http.gateway.rds.{MODELS}"
ANSWERS = f"http.platform.rds.{PLATFORM}"
RUNTIME = "runtime"

_FILTER = "^(cluster_manager.(cds|warming_clusters)|http.(gateway|platform).rds|listener_manager.lds|runtime)"


class EnvoyAway(Exception):  # noqa: N818 - a state of affairs, not a defect
    """The admin interface does not answer."""


@dataclass(frozen=True)
class Refusals:
    """How often Envoy refused each file since it started, and how many clusters are not ready to be used."""

    counts: Mapping[str, int]
    warming: int

    def of(self, subscription: str) -> int:
        rejected = self.counts.get(f"{subscription}.update_rejected", 0)
        return rejected + self.counts.get(f"{subscription}.update_failure", 0)


class Admin:
    """One Envoy. Create it inside the running event loop."""

    def __init__(self, address: Endpoint) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._url = f"http://{host}:{address.port}"
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_SECONDS))

    async def close(self) -> None:
        await self._http.close()

    async def versions(self) -> dict[str, str]:
        """The version of each file that Envoy runs with, by subscription; cheap."""
        stats = await self._stats("TextReadouts", "version_text")
        return {name.removesuffix(".version_text"): str(value) for name, value in stats.items()}

    async def refusals(self) -> Refusals:
        counters = await self._stats("Counters", _FILTER)
        gauges = await self._stats("Gauges", _FILTER)
        counts = {name: int(value) for name, value in counters.items()}
        return Refusals(counts, int(gauges.get("cluster_manager.warming_clusters", 0)))

    async def _stats(self, kind: str, pattern: str) -> dict[str, str | int]:
        params = {"type": kind, "filter": pattern, "format": "json"}
        text = await self._get("/stats", params)
        try:
            listed = json.loads(text)["stats"]
            return {item["name"]: item["value"] for item in listed if "name" in item}
        except (ValueError, KeyError, TypeError) as error:
            raise EnvoyAway(f"the answer of the admin interface is not Envoy's: {error}") from error

    async def _get(self, path: str, params: Mapping[str, str]) -> str:
        try:
            async with self._http.get(self._url + path, params=params) as answer:
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EnvoyAway(f"Envoy's admin interface at {self._url} does not answer: {error}") from error
