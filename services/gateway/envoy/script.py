"""The Lua script that names the route of a request, with the gateway's limit written into it."""

from __future__ import annotations

import json
from importlib.resources import files

from services.gateway.envoy.limits import Limits


def script(limits: Limits) -> str:
    """`route_key.lua` as Envoy gets it."""
    refusal = json.dumps({"error": f"the request is larger than the {limits.message_bytes} bytes that are accepted"})
    head = f"local LIMIT = {limits.message_bytes}\nlocal TOO_LARGE = [[{refusal}]]\n"
    return head + files(__package__).joinpath("route_key.lua").read_text("utf-8")
