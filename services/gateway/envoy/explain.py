"""Why Envoy refuses a route: asked of a second Envoy that only reads it.

Envoy tells nobody but its log why it refused a file. `envoy --mode validate` says it on its standard error, and can be
asked about one model at a time.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from services.gateway.envoy.answers import extension
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.models import entries
from services.gateway.envoy.snapshot import ModelRoute

UNKNOWN = "Envoy refused the routes; its log has the reason"
VALIDATE_SECONDS = 20.0

_REASON = re.compile(r"error initializing (?:configuration|config) '[^']*': ?(.*)", re.DOTALL)


async def reason(binary: Path | None, route: ModelRoute, limits: Limits) -> str:
    """Envoy's words about this model's routes, empty when it takes them; UNKNOWN when there is nobody to ask."""
    if binary is None:
        return UNKNOWN
    with tempfile.TemporaryDirectory(prefix="bmase-gateway-") as scratch:
        file = Path(scratch) / "bootstrap.json"
        file.write_text(json.dumps(_bootstrap(route, limits)), "utf-8")
        return await _validate(binary, file)


def _bootstrap(route: ModelRoute, limits: Limits) -> dict[str, Any]:
    tree = {
        "input": extension("model", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name="model"),
        "exact_match_map": {"map": dict(entries(route, limits))},
    }
    host = {"name": "all", "domains": ["*"], "matcher": {"matcher_tree": tree}}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="explain",
        route_config={"name": "explain", "virtual_hosts": [host], "validate_clusters": False},
        http_filters=[extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listener = {"name": "explain", "address": address, "filter_chains": [{"filters": [manager]}]}
    return {"static_resources": {"listeners": [listener]}}


async def _validate(binary: Path, file: Path) -> str:
    command = [str(binary), "--mode", "validate", "-c", str(file), "--use-dynamic-base-id", "--log-level", "critical"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), VALIDATE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return UNKNOWN
    if process.returncode == 0:
        return ""
    text = output.decode(errors="replace").strip()
    found = _REASON.search(text)
    return " ".join((found[1] if found else text).split())[:800] or UNKNOWN
