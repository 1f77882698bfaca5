"""Others may read Envoy's counters, and nothing else of its admin interface."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
import requests

from tests.support.gateway import Platform, eventually


def test_the_page_is_the_admins(platform: Platform) -> None:
    url = f"http://{platform.gateway.statistics}/stats/prometheus"
    page = requests.get(url, timeout=5)
    assert page.status_code == 200
    assert "envoy_server_uptime" in page.text
    some = requests.get(url, params={"filter": "^server.uptime$"}, timeout=5).text
    assert "envoy_server_uptime" in some
    assert "envoy_cluster" not in some


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/quitquitquit"),
        ("POST", "/stats/prometheus"),
        ("POST", "/runtime_modify?x=1"),
        ("GET", "/config_dump"),
        ("GET", "/stats"),
        ("GET", "/stats/prometheus/../../config_dump"),
        ("GET", "/stats/prometheus%2f..%2f..%2fconfig_dump"),
        ("GET", "//config_dump"),
        ("GET", "/"),
    ],
)
def test_nothing_else_is(platform: Platform, method: str, path: str) -> None:
    request = urllib.request.Request(f"http://{platform.gateway.statistics}{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 404
    assert platform.gateway.envoy.alive


def test_it_can_be_found(platform: Platform) -> None:
    def told() -> bool:
        return (platform.get("bmase/gateways/gw") or {}).get("statistics") == platform.gateway.statistics

    eventually(told, "the report says where")
    with urllib.request.urlopen(f"{platform.consul.url}/v1/catalog/service/gateway", timeout=5) as answer:
        (entry,) = json.load(answer)
    assert entry["ServiceMeta"]["statistics"] == platform.gateway.statistics
