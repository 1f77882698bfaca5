"""Rules are complete for those who read them, and configurations say what they are asked for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from infra.prometheus import configuration

GROUPS = [group for path in configuration.RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]


def test_names_are_used_once() -> None:
    names = [rule.get("alert") or rule["record"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_what_alerts_read_of_records_is_recorded() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    read = {name for rule in ALERTS for name in re.findall(r"\bmodel(?:_version)?:[a-z0-9_:]+", rule["expr"])}
    assert read <= recorded
    assert len(read) >= 10


def test_jobs_are_found_in_consul_and_nothing_is_listed_by_hand() -> None:
    made = json.loads(configuration.prometheus("10.0.0.1:8500", ["10.0.0.2:9093"], "10.0.0.3:9090", seconds=7))
    jobs = {job["job_name"]: job for job in made["scrape_configs"]}
    found = {name for name, job in jobs.items() if "consul_sd_configs" in job}
    assert found == {"services", "envoy", "triton", "agents"}
    assert {jobs[name]["consul_sd_configs"][0]["server"] for name in found} == {"10.0.0.1:8500"}
    assert jobs["envoy"]["metrics_path"] == "/stats/prometheus"
    assert made["global"]["scrape_interval"] == "7s"


def test_alertmanager_without_a_webhook_only_shows() -> None:
    assert "webhook_configs" not in json.loads(configuration.alertmanager())["receivers"][0]
    hook = json.loads(configuration.alertmanager("http://h/"))["receivers"][0]["webhook_configs"][0]
    assert hook == {"url": "http://h/", "send_resolved": True}


@pytest.mark.parametrize("words", [["prometheus", "--consul", "c:1"], ["alertmanager", "--webhook", "http://h/"]])
def test_the_command_prints_what_is_read(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.prometheus", *words], capture_output=True, text=True, check=True
    )
    assert words[-1] in json.dumps(json.loads(done.stdout))
