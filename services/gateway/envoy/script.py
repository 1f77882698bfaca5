"""The Lua scripts that name the route of a request. A route says by name which of them its requests pass."""

from __future__ import annotations

import json
from importlib.resources import files

from services.gateway.envoy.answers import Json, typed
from services.gateway.envoy.limits import Limits

LUA = "envoy.filters.http.lua"
LUA_KIND = "envoy.extensions.filters.http.lua.v3.Lua"
NAMES = ("unary", "stream", "http", "index")


def sources(limits: Limits) -> dict[str, Json]:
    """The scripts by name, with the gateway's limit written into them."""
    refusal = json.dumps({"error": f"the request is larger than the {limits.message_bytes} bytes that are accepted"})
    head = f"local LIMIT = {limits.message_bytes}\nlocal TOO_LARGE = [[{refusal}]]\n{text('key')}"
    return {name: {"inline_string": f"{head}\n{text(name)}"} for name in NAMES}


def passing(name: str) -> Json:
    """The part of a route by which its requests pass the script."""
    return {LUA: typed(f"{LUA_KIND}PerRoute", name=name)}


def text(name: str) -> str:
    """One of the scripts."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text("utf-8")
