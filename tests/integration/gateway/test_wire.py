"""What we write for Envoy is what Envoy reads: checked with the message types in the pinned binary itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from infra.runtime import binary, ensure
from services.gateway.envoy import models, wire
from services.gateway.envoy.capture import Sampling
from services.gateway.envoy.configuration import Configuration
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.listener import Files
from services.gateway.envoy.snapshot import Capture, Endpoint, Mirror, ModelRoute, Override, Target
from services.monitor.intake import wire as intake
from tests.support.envoy_descriptors import EnvoyMessages

FILES = (
    "envoy/service/discovery/v3/discovery.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/config/route/v3/route_components.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
    "envoy/extensions/filters/http/lua/v3/lua.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "xds/type/matcher/v3/matcher.proto",
)
# What SCHEMA calls shortly.
FULL = {
    "VirtualHost": "envoy.config.route.v3.VirtualHost",
    "Matcher": "xds.type.matcher.v3.Matcher",
    "MatcherTree": "xds.type.matcher.v3.Matcher.MatcherTree",
    "MatchMap": "xds.type.matcher.v3.Matcher.MatcherTree.MatchMap",
    "OnMatch": "xds.type.matcher.v3.Matcher.OnMatch",
    "Extension": "xds.core.v3.TypedExtensionConfig",
    "Metadata": "envoy.config.core.v3.Metadata",
    "RouteMatch": "envoy.config.route.v3.RouteMatch",
    "HeaderMatcher": "envoy.config.route.v3.HeaderMatcher",
    "StringMatcher": "envoy.type.matcher.v3.StringMatcher",
    "RouteAction": "envoy.config.route.v3.RouteAction",
    "MaxStreamDuration": "envoy.config.route.v3.RouteAction.MaxStreamDuration",
    "WeightedClusters": "envoy.config.route.v3.WeightedCluster",
    "ClusterWeight": "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    "HashPolicy": "envoy.config.route.v3.RouteAction.HashPolicy",
    "HashHeader": "envoy.config.route.v3.RouteAction.HashPolicy.Header",
    "HashConnection": "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties",
    "MirrorPolicy": "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
    "RuntimeFraction": "envoy.config.core.v3.RuntimeFractionalPercent",
    "Fraction": "envoy.type.v3.FractionalPercent",
    "RetryPolicy": "envoy.config.route.v3.RetryPolicy",
    "RetryHostPredicate": "envoy.config.route.v3.RetryPolicy.RetryHostPredicate",
    "BackOff": "envoy.config.route.v3.RetryPolicy.RetryBackOff",
    "DirectResponse": "envoy.config.route.v3.DirectResponseAction",
    "DataSource": "envoy.config.core.v3.DataSource",
    "Format": "envoy.config.core.v3.SubstitutionFormatString",
    "HeaderOption": "envoy.config.core.v3.HeaderValueOption",
    "HeaderValue": "envoy.config.core.v3.HeaderValue",
}
# Of the logs that Envoy sends, by the package that defines it.
LOGGED = {
    "LogsRequest": logs_service_pb2.ExportLogsServiceRequest,
    "ResourceLogs": logs_pb2.ResourceLogs,
    "Resource": resource_pb2.Resource,
    "ScopeLogs": logs_pb2.ScopeLogs,
    "LogRecord": logs_pb2.LogRecord,
    "KeyValue": common_pb2.KeyValue,
    "AnyValue": common_pb2.AnyValue,
}
KINDS = {
    "any": "google.protobuf.Any",
    "duration": "google.protobuf.Duration",
    "struct": "google.protobuf.Struct",
}

TWO = ModelRoute("m.x-1", (Target(1, ("blue",)), Target(2, ("green",))), (900_000, 100_000))
ROUTES = [
    TWO,
    dataclasses.replace(TWO, sticky_header="x-user", timeout=1.5, retries=-1),
    dataclasses.replace(TWO, sticky_source_ip=True, mirror=Mirror(2, 12.5), retries=3),
    ModelRoute("n", (Target(7, ("blue", "green")),), (1_000_000,), mirror=Mirror(7, 100)),
]
OTHERS = [
    dataclasses.replace(TWO, overrides=(Override("x-a", "1", 2), Override("x-b", "", 1))),
    dataclasses.replace(TWO, weights=(0, 0)),
    dataclasses.replace(TWO, weights=(0, 0), routed=False),
    dataclasses.replace(TWO, capture=Capture(3, True, 50)),
    dataclasses.replace(TWO, capture=Capture(0, True, 0)),
]
SHARES = Sampling(1, 20)


@pytest.fixture(scope="module")
def envoy() -> EnvoyMessages:
    ensure(["envoy"])
    return EnvoyMessages(binary("envoy").resolve()).load(*FILES)


@pytest.mark.parametrize("kind", wire.SCHEMA)
def test_every_field_has_envoys_number_and_type(envoy: EnvoyMessages, kind: str) -> None:
    descriptor = envoy.message(FULL.get(kind, kind)).DESCRIPTOR
    for name, (number, value) in wire.SCHEMA[kind].items():
        field = descriptor.fields_by_name[name]
        assert field.number == number, name
        wanted = FULL.get(value, KINDS.get(value, value))
        if field.message_type and not value.startswith("map:") and value != "wrapped":
            assert field.message_type.full_name in {wanted, "envoy.config.core.v3.TypedExtensionConfig"}, name


@pytest.mark.parametrize("kind", intake.SCHEMA)
def test_what_the_monitor_reads_is_what_envoy_sends(kind: str) -> None:
    descriptor = LOGGED[kind].DESCRIPTOR
    for name, (number, value) in intake.SCHEMA[kind].items():
        field = descriptor.fields_by_name[name]
        assert field.number == number, name
        bare = value.lstrip("*")
        if field.message_type:
            assert field.message_type.full_name == LOGGED[bare].DESCRIPTOR.full_name, name
        else:
            kinds = {"bytes": (9, 12), "fixed64": (6,)}[bare]  # text is read as bytes
            assert field.type in kinds, name


def on_matches(envoy: EnvoyMessages, data: bytes) -> dict[str, Any]:
    """The entries of a piece of the table, with what they lead to unpacked."""
    table = envoy.message("xds.type.matcher.v3.Matcher.MatcherTree.MatchMap").FromString(data)
    pool = envoy._pool
    return {key: json_format.MessageToDict(value, descriptor_pool=pool) for key, value in table.map.items()}


@pytest.mark.parametrize("shares", [Sampling(), SHARES])
@pytest.mark.parametrize("route", ROUTES + OTHERS)
def test_envoy_reads_the_routes_that_were_meant(envoy: EnvoyMessages, route: ModelRoute, shares: Sampling) -> None:
    meant = {
        key: json_format.ParseDict(value, envoy.message(FULL["OnMatch"])(), descriptor_pool=envoy._pool)
        for key, value in models.entries(route, Limits(), shares)
    }
    read = on_matches(envoy, models.encoded(route, Limits(), shares))
    assert read == {key: json_format.MessageToDict(value, descriptor_pool=envoy._pool) for key, value in meant.items()}


def test_the_whole_table_is_one_discovery_answer(envoy: EnvoyMessages, tmp_path: Path) -> None:
    configuration = Configuration("gw", *(Endpoint("127.0.0.1", port) for port in (1, 2, 3)), Files(tmp_path))
    for made in (configuration.routes({route.model: route for route in ROUTES}), configuration.platform({})):
        answer = envoy.message("envoy.service.discovery.v3.DiscoveryResponse").FromString(made.data)
        assert answer.version_info == made.version
        table = envoy.message("envoy.config.route.v3.RouteConfiguration")()
        assert answer.resources[0].Unpack(table)
        assert len(UnknownFieldSet(table)) == 0
        assert table.virtual_hosts[0].domains == ["*"]
