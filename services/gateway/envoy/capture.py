"""What the monitor is shown: a share of the requests with their answers, and bad requests of models under judgement.

Neither is ever waited for. A script copies bodies as they pass, and access logs (`shown`) take both to the monitor,
many at a time. The bounds of their clusters are what a monitor that is slow, hung or gone can cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor

from services.gateway.envoy.answers import Json, extension, header, typed
from services.gateway.envoy.clusters import http2, service
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.script import LUA_KIND, text
from services.gateway.envoy.snapshot import Capture, Endpoint, ModelRoute

MONITOR = "monitor"
# One for pairs and one for bad requests: however many pairs wait, bad requests get through.
PAIRS, EVENTS = "monitor-pairs", "monitor-events"
SAMPLER = "bmase.sampler"
NAMESPACE = "bmase"
BY_WEIGHT, BY_VERSION, BY_OVERRIDE = "weight", "version", "override"
BY_ADDRESS = "source address"

# The runtime key of the least duration, in ms, that is slow for any model.
SLOW_KEY = "capture.slow_ms"
TOKEN_VARIABLE = "BMASE_GATEWAY_MONITOR_TOKEN"  # noqa: S105 - its name, not a token

# Of one body; of larger ones the monitor hears that they were. Copying both takes 10 us a KiB of the worker's time.
BODY_BYTES = 1 << 20
# Messages of one log that may be on their way to the monitor at once; what comes then is dropped. Each worker of Envoy
# sends its own, all at the same moments.
MESSAGES = 64


@dataclass(frozen=True, slots=True)
class Source:
    """Who shows: the gateway's name, and whether the monitor asks for a token (found in TOKEN_VARIABLE)."""

    name: str
    token: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """Of which share of the requests pairs are shown, in percent.

    percent    of models that say nothing themselves
    top        the greatest of any model: this share of all requests passes the sampler, and models thin it out
    """

    percent: float = 0.0
    top: float = 0.0

    def of(self, capture: Capture) -> float:
        """The share of one model."""
        return self.percent if capture.percent is None else capture.percent


def sampling(models: Iterable[ModelRoute], percent: float) -> Sampling:
    """By what each model says, and the default of the gateway."""
    asked = (route.capture.percent for route in models)
    return Sampling(percent, max((share for share in asked if share is not None), default=percent))


def slow_key(models: Iterable[ModelRoute]) -> dict[str, int]:
    """The runtime key with the least duration that is slow for a model under judgement; nothing when none is."""
    slow = [route.capture.slow_ms for route in models if route.capture.judged and route.capture.slow_ms > 0]
    return {SLOW_KEY: floor(min(slow))} if slow else {}


def chance(percent: float) -> Json:
    """A condition that holds for this share of the requests.

    Envoy draws one number a request and takes it modulo 10,000 here, modulo the sum of the weights where it chooses a
    version: that sum has no common divisor with 10,000, so what is sampled says nothing about the version.
    """
    fraction = {"numerator": max(1, round(percent * 100)), "denominator": "TEN_THOUSAND"}
    return {"runtime_fraction": {"default_value": fraction}}


def facts(via: str, capture: Capture, sticky: str = "") -> Json:
    """What the logs shall know of a route; `sticky`: the header that it hashes, or BY_ADDRESS.

    Who is a client must be what the version was chosen by: other names are free to invent.
    """
    said = {"via": via} | ({"sticky": sticky} if sticky else {})
    if capture.judged and via == BY_WEIGHT:
        said["judged"] = "yes"
        if capture.slow_ms > 0:
            said["slow"] = f"{capture.slow_ms / 1000:.6f}s"
    return {"metadata": {"filter_metadata": {NAMESPACE: said}}}


def thinned(routes: list[Json], capture: Capture, shares: Sampling) -> list[Json]:
    """The same routes, so that of those requests that reach them past the sampler the model's share is shown."""
    percent = shares.of(capture)
    if percent >= shares.top:
        return routes
    made: list[Json] = []
    for route in routes:
        if "metadata" not in route:
            made.append(route)
            continue
        if percent > 0:
            made.append(route | {"match": route["match"] | chance(percent)})
        made.append(route | {"typed_per_filter_config": {SAMPLER: typed(f"{LUA_KIND}PerRoute", disabled=True)}})
    return made


def sampler(limits: Limits) -> Json:
    """The filter that copies bodies. It is off; a request's first route switches it on."""
    script = f"local LIMIT = {BODY_BYTES}\nlocal PER_SECOND = {limits.captures_per_worker}\n{text('pair')}"
    return extension(SAMPLER, LUA_KIND, default_source_code={"inline_string": script}) | {"disabled": True}


def clusters(endpoints: Sequence[Endpoint], tls: Json | None, source: Source) -> list[Json]:
    """The monitor's, for this alone."""
    return [_cluster(name, endpoints, tls, _credentials() if source.token else []) for name in (PAIRS, EVENTS)]


def _credentials() -> list[Json]:
    """Adds the token to what goes out; in the metadata of a log Envoy does not look for variables."""
    token = header("authorization", f"Bearer %ENVIRONMENT({TOKEN_VARIABLE})%")
    filters = "envoy.extensions.filters.http."
    mutations = {"request_mutations": [{"append": token}]}
    return [
        extension("token", filters + "header_mutation.v3.HeaderMutation", mutations=mutations),
        extension("envoy.filters.http.upstream_codec", filters + "upstream_codec.v3.UpstreamCodec"),
    ]


def _cluster(name: str, endpoints: Sequence[Endpoint], tls: Json | None, filters: list[Json]) -> Json:
    """A monitor that does not answer is left alone within two seconds."""
    alive = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s"}
    probe = alive | {"unhealthy_threshold": 1, "healthy_threshold": 1, "grpc_health_check": {}}
    limits = {"max_connections": 8, "max_pending_requests": MESSAGES, "max_requests": MESSAGES, "max_retries": 0}
    made = service(name, endpoints, tls) | http2(keepalive="1s", timeout="1s", filters=filters)
    made |= {"health_checks": [probe], "close_connections_on_host_health_failure": True}
    made |= {"circuit_breakers": {"thresholds": [limits]}}
    return made
