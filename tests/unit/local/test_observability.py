"""What is started beside the suite, from what, and when not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from infra.local import observability, ports
from infra.local.errors import SuiteError
from infra.local.place import Identity, Place
from infra.local.suite import Suite


@pytest.fixture(autouse=True)
def _binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability, "binary", lambda name: Path("/bin") / name)


def _suite(root: Path, observed: bool = True, grafana: str = "", settings: str = "") -> Suite:
    place = Place(root)
    place.make()
    if settings:
        place.settings.write_text(settings)
    return Suite(place, Identity("id", ("blue",), observed), ports.defaults(("blue",), observed), grafana)


def test_a_suite_is_not_observed_unless_asked(tmp_path: Path) -> None:
    suite = _suite(tmp_path, observed=False)
    assert observability.programs(suite) == []
    assert observability.files(suite) == {}
    assert not set(ports.OBSERVED) & set(suite.ports)


def test_it_is_remembered_until_taken_back(tmp_path: Path) -> None:
    place = _suite(tmp_path).place
    asked = [
        Identity.read_or_make(place, None, ("blue",), observed).observed for observed in (None, True, None, False, None)
    ]
    assert asked == [False, True, True, False, False]


def test_a_suite_of_before_it_could_be_observed_is_read(tmp_path: Path) -> None:
    place = _suite(tmp_path).place
    place.identity.write_text('{"id": "old", "nodes": ["blue"]}')
    assert Identity.read(place) == Identity("old", ("blue",), False)


def test_everything_listens_on_loopback_only(tmp_path: Path) -> None:
    suite = _suite(tmp_path, grafana="/usr/sbin/grafana-server")
    prometheus, alertmanager, grafana = observability.programs(suite)
    assert "--web.listen-address=127.0.0.1:9090" in prometheus.command
    assert "--web.listen-address=127.0.0.1:9093" in alertmanager.command
    assert "--cluster.listen-address=" in alertmanager.command
    assert grafana.environment["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert grafana.environment["BMASE_PROMETHEUS_URL"] == "http://127.0.0.1:9090"


def test_grafana_is_left_out_where_it_is_not_installed(tmp_path: Path) -> None:
    assert [program.name for program in observability.programs(_suite(tmp_path))] == ["prometheus", "alertmanager"]


def test_a_changed_webhook_makes_another_alertmanager_and_the_same_prometheus(tmp_path: Path) -> None:
    before = observability.programs(_suite(tmp_path))
    hook = "http://127.0.0.1:9/hook"
    suite = _suite(tmp_path, settings=f'[observability]\nalert_webhook = "{hook}"\n')
    after = observability.programs(suite)
    assert before[0] == after[0]
    assert before[1] != after[1]
    told = json.loads(observability.files(suite)[suite.place.run / "alertmanager.yml"])
    assert told["receivers"][0]["webhook_configs"][0]["url"] == hook


@pytest.mark.parametrize("line", ['webhook = "http://x"', 'scrape_seconds = "5"', "alert_webhook = 1"])
def test_a_setting_that_it_does_not_take_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SuiteError, match=line.split(maxsplit=1)[0]) as refused:
        observability.settings(_suite(tmp_path, settings=f"[observability]\n{line}\n").place)
    assert "alert_webhook" in refused.value.hint


def test_the_settings_stand_in_the_file_that_services_read(tmp_path: Path) -> None:
    suite = _suite(tmp_path, settings='[common]\nlog_level = "debug"\n[observability]\nscrape_seconds = 2\n')
    assert tomllib.loads(suite.place.settings.read_text())["common"] == {"log_level": "debug"}
    scraped = json.loads(observability.files(suite)[suite.place.run / "prometheus.yml"])
    assert scraped["global"]["scrape_interval"] == "2s"
