"""Why Envoy refuses a route: asked of a second Envoy that only reads it.

Envoy tells nobody but its log why it refused a file. `envoy --mode validate` says it on its standard error, and can be
asked about some of the models at a time.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.gateway.envoy.answers import extension
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.models import entries
from services.gateway.envoy.snapshot import ModelRoute

VALIDATE_SECONDS = 20.0

_REASON = re.compile(r"error initializing (?:configuration|config) '[^']*': ?(.*)", re.DOTALL)


async def reason(binary: Path | None, routes: Iterable[ModelRoute], limits: Limits) -> str | None:
    """Envoy's words about these models' routes, empty when it takes them; None when there is nobody to ask."""
    if binary is None:
        return None
    with tempfile.TemporaryDirectory(prefix="bmase-gateway-") as scratch:
        file = Path(scratch) / "bootstrap.json"
        file.write_text(json.dumps(_bootstrap(routes, limits)), "utf-8")
        return await _validate(binary, file)


def _bootstrap(routes: Iterable[ModelRoute], limits: Limits) -> dict[str, Any]:
    table = {key: on_match for route in routes for key, on_match in entries(route, limits)}
    tree = {
        "input": extension("model", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name="model"),
        "exact_match_map": {"map": table},
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


async def _validate(binary: Path, file: Path) -> str | None:
    command = [str(binary), "--mode", "validate", "-c", str(file), "--use-dynamic-base-id", "--log-level", "critical"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), VALIDATE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    if process.returncode == 0:
        return ""
    text = output.decode(errors="replace").strip()
    found = _REASON.search(text)
    return " ".join((found[1] if found else text).split())[:800] or "Envoy refused the routes and did not say why"
