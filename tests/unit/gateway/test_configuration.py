"""The files: what they hold follows from settings and snapshot alone, and says so by its version."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.gateway.config import GatewaySettings
from services.gateway.envoy import capture, files, models, paths, wire
from services.gateway.envoy.capture import Sampling
from services.gateway.envoy.configuration import Configuration
from services.gateway.envoy.limits import Limits, seconds
from services.gateway.envoy.listener import Files
from services.gateway.envoy.snapshot import (
    TOTAL_WEIGHT,
    Capture,
    Endpoint,
    Mirror,
    ModelRoute,
    Node,
    Override,
    Snapshot,
    Target,
)
from services.gateway.envoy.weights import normalise

TWO = ModelRoute("m", (Target(1, ("blue",)), Target(2, ("green",))), normalise([90, 10]))
ONE = ModelRoute("n", (Target(7, ("blue",)),), (TOTAL_WEIGHT,))
NODES = {n: Node(n, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)) for n in ("blue", "green")}


def configuration(folder: Path) -> Configuration:
    return Configuration("gw", *(Endpoint("127.0.0.1", port) for port in (1, 2, 3)), Files(folder))


def default_route(route: ModelRoute, key: str) -> dict:
    action = dict(models.entries(route, Limits()))[key]["action"]["typed_config"]
    return action["routes"][-1] if "routes" in action else action


def test_every_version_has_a_key_of_its_own_by_either_protocol() -> None:
    assert set(dict(models.entries(TWO, Limits()))) == {"m", "m/1", "m/2", "/m", "/m/1", "/m/2"}


def test_overrides_come_before_weights_in_their_order() -> None:
    route = dataclasses.replace(TWO, overrides=(Override("x-a", "1", 2), Override("x-b", "", 1)))
    listed = dict(models.entries(route, Limits()))["m"]["action"]["typed_config"]["routes"]
    assert [r["match"].get("headers") for r in listed] == [
        [{"name": "x-a", "string_match": {"exact": "1"}}],
        [{"name": "x-b", "present_match": True}],
        None,
    ]
    assert [r["route"].get("cluster") for r in listed] == ["nodes:green", "nodes:blue", None]


def test_one_version_needs_no_weights_and_a_mirror_no_version_of_its_own() -> None:
    assert default_route(ONE, "n")["route"]["cluster"] == "nodes:blue"
    mirrored = dataclasses.replace(ONE, mirror=Mirror(7, 12.5))
    policy = default_route(mirrored, "/n")["route"]["request_mirror_policies"][0]
    assert policy["cluster"] == "nodes:blue:http"
    assert policy["runtime_fraction"]["default_value"] == {"numerator": 125_000, "denominator": "MILLION"}


@pytest.mark.parametrize(
    ("route", "status", "grpc"),
    [
        (dataclasses.replace(TWO, weights=(0, 0)), 503, "14"),
        (dataclasses.replace(TWO, weights=(0, 0), routed=False), 404, "5"),
        (ModelRoute("m", (), ()), 503, "14"),
    ],
)
def test_what_cannot_be_served_is_answered(route: ModelRoute, status: int, grpc: str) -> None:
    answer = default_route(route, "m")
    assert answer["direct_response"]["status"] == status
    assert answer["response_headers_to_add"][0]["header"] == {"key": "grpc-status", "value": grpc}


def via(route: dict) -> str:
    return str(route["metadata"]["filter_metadata"]["bmase"]["via"])


def test_a_route_says_how_its_version_was_chosen_and_only_by_weight_is_judged() -> None:
    judged = dataclasses.replace(TWO, overrides=(Override("x-a", "1", 2),), capture=Capture(None, True, 50))
    found = dict(models.entries(judged, Limits()))
    by_header, by_weight = found["m"]["action"]["typed_config"]["routes"]
    by_version = found["m/1"]["action"]["typed_config"]
    assert [via(route) for route in (by_header, by_weight, by_version)] == ["override", "weight", "version"]
    facts = [route["metadata"]["filter_metadata"]["bmase"] for route in (by_header, by_weight, by_version)]
    assert [fact.get("judged") for fact in facts] == [None, "yes", None]
    assert facts[1]["slow"] == "0.050000s"


def test_models_thin_out_what_passes_the_sampler() -> None:
    def conditions(percent: float | None) -> list[tuple[object, bool]]:
        route = dataclasses.replace(TWO, capture=Capture(percent))
        config = dict(models.entries(route, Limits(), Sampling(1, 20)))["m"]["action"]["typed_config"]
        routes = config.get("routes", [config])
        shares = [r["match"].get("runtime_fraction", {}).get("default_value", {}).get("numerator") for r in routes]
        return list(zip(shares, ["typed_per_filter_config" in r for r in routes], strict=True))

    assert conditions(20) == [(None, False)]
    assert conditions(5) == [(500, False), (None, True)]
    assert conditions(None) == [(100, False), (None, True)]
    assert conditions(0) == [(None, True)]


def test_the_sampler_sees_the_greatest_share_and_nothing_without_a_monitor(tmp_path: Path) -> None:
    route = dataclasses.replace(TWO, capture=Capture(7))
    assert capture.sampling([TWO, route], 1) == Sampling(1, 7)
    assert capture.sampling([], 1) == Sampling(1, 1)
    made = configuration(tmp_path)
    assert capture.SAMPLER.encode() in made.routes({"m": TWO}, monitored=True).data
    assert capture.SAMPLER.encode() not in made.routes({"m": TWO}, monitored=False).data
    none = dataclasses.replace(made, limits=Limits(capture_percent=0))
    assert capture.SAMPLER.encode() not in none.routes({"m": TWO}, monitored=True).data


def test_what_is_sampled_is_read_like_everything_else() -> None:
    routes = paths.fallthrough([], Limits(), 1)
    for number, sampled in enumerate(route for route in routes if "runtime_fraction" in route["match"]):
        through = dict(sampled["typed_per_filter_config"])
        assert through.pop(capture.SAMPLER)
        plain = {**sampled, "typed_per_filter_config": through}
        plain["match"] = {key: value for key, value in sampled["match"].items() if key != "runtime_fraction"}
        if number == 1:  # over HTTP only inference is sampled, and one route reads all that is asked of models
            plain["match"]["headers"] = plain["match"]["headers"][:1]
        assert plain in routes


def test_the_log_looks_closer_only_at_what_is_slow_for_some_model() -> None:
    judged = [dataclasses.replace(TWO, capture=Capture(None, True, slow)) for slow in (80.9, 0, 250)]
    assert capture.slow_key([TWO, *judged]) == {capture.SLOW_KEY: 80}
    assert capture.slow_key([TWO, judged[1]]) == {}


def test_the_table_is_the_same_whatever_was_encoded_before(tmp_path: Path) -> None:
    changed = dataclasses.replace(TWO, weights=(0, TOTAL_WEIGHT))
    warm = configuration(tmp_path)
    warm.routes({"m": TWO, "n": ONE})
    assert warm.routes({"m": changed, "n": ONE}) == configuration(tmp_path).routes({"m": changed, "n": ONE})
    assert warm.routes({"m": changed}).version != warm.routes({"m": TWO}).version


def test_versions_name_contents(tmp_path: Path) -> None:
    made = configuration(tmp_path)
    snapshot = Snapshot({"m": TWO}, NODES)
    clusters = made.clusters(snapshot.node_sets, snapshot)
    assert clusters == made.clusters(snapshot.node_sets, snapshot)
    assert json.loads(clusters.data)["version_info"] == clusters.version
    moved = Snapshot({"m": TWO}, {**NODES, "blue": Node("blue", Endpoint("127.0.0.1", 9))})
    assert made.clusters(snapshot.node_sets, moved).version != clusters.version


def test_writing_the_same_again_touches_nothing(tmp_path: Path) -> None:
    for write in (files.write, files.switch):
        path = tmp_path / write.__name__
        assert write(path, b"one")
        assert not write(path, b"one")
        assert write(path, b"two")
        assert path.read_bytes() == b"two"
    assert len(list(tmp_path.iterdir())) == 3  # a file, a link and what it leads to


def test_the_schema_is_closed_and_an_unknown_field_is_an_error() -> None:
    known = set(wire.WRITERS) | set(wire.SCHEMA) | set(wire.ENUMS) | {"varint"}
    assert set(wire.kinds()) <= known
    with pytest.raises(KeyError):
        wire.encode("RouteMatch", {"regex": "x"})


@pytest.mark.parametrize(("value", "text"), [(0, "0s"), (60, "60s"), (0.25, "0.25s"), (1e-9, "0.000000001s")])
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"envoy_admin": "0.0.0.0:9901"}, "admin interface may stop Envoy"),
        ({"envoy_listen": "0.0.0.0:80"}, "tls.cert"),
        ({"envoy_listen": "nowhere"}, "host:port"),
        ({"request_bytes": 1}, "greater"),
        ({"envoy_statistics": "0.0.0.0:9902"}, "envoy_statistics_advertise"),
        ({"capture_percent": 101}, "less"),
    ],
)
def test_unsafe_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GatewaySettings(**settings)  # type: ignore[arg-type]
