"""A suite that is observed: each query of each dashboard and each rule has data after a bad release under traffic."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.monitor.v1 import monitor_pb2
from bmase.patcher.v1 import release_pb2 as pb

from infra.local import leftovers
from tests.support import onnx_models
from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.prometheus import Asked, Prometheus, dashboard_queries, selectors
from tests.support.suite import Suite

MODEL, OLD, NEW = "observed", (2.0, 1.0), (3.0, 5.0)
PROGRAMS = ("prometheus", "alertmanager")
JOBS = {"services": 4, "envoy": 1, "triton": 2, "agents": 2, "prometheus": 1, "alertmanager": 1}

# What a healthy suite with one bad release does not have.
ABSENT = {
    "bmase_monitor_alerts": "one row for each thing that drifts; nothing does",
    'bmase_patcher_release_decisions_total{kind="failed"}': "the release was rolled back, it did not fail",
    'bmase_monitor_samples_total{what="dropped"}': "the monitor had room for all",
    'envoy_bmase_requests{code=~"5..",status=~"-?",via!=""}': "failures were answered by gRPC",
    'bmase_grpc_requests_total{grpc_code=~"INTERNAL|DATA_LOSS"}': "no service had a fault",
}


class Hook:
    """Takes what Alertmanager posts."""

    def __init__(self) -> None:
        told: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Not on the test's output."""

        self.told = told
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def names(self) -> set[str]:
        return {alert["labels"]["alertname"] for message in self.told for alert in message["alerts"]}


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, hook: Hook) -> Iterator[Suite]:
    url = f"http://127.0.0.1:{hook.server.server_port}/"
    settings = f'[observability]\nscrape_seconds = 1\nalert_webhook = "{url}"\n'
    made = Suite(tmp_path_factory.mktemp("observed") / "data", settings=settings, observed=True)
    try:
        yield made.up()
    finally:
        made.end()


@pytest.fixture(scope="module")
def prometheus(observed: Suite, tmp_path_factory: pytest.TempPathFactory) -> Prometheus:
    """After a bad release, rolled back by itself, under traffic, with samples and outcomes."""
    asked = Prometheus(observed.endpoints["prometheus"])
    _bad_release(observed, Catalogue(tmp_path_factory.mktemp("models")), tmp_path_factory.mktemp("bad") / "bad.onnx")
    observed.until(lambda: asked.value('bmase_patcher_release_decisions_total{kind="rollback"}'), "the rollback seen")
    time.sleep(3)  # a rate is between two looks
    # Where the machine is busy, a look may be late and find all outcomes at once: a counter without a rate.
    observed.until(lambda: _outcomes_have_a_rate(observed, asked), "outcomes counted between two looks", 60)
    return asked


def _outcomes_have_a_rate(observed: Suite, asked: Prometheus) -> bool:
    if asked.value('sum(rate(bmase_monitor_outcomes_total{wrong="true"}[5m]))'):
        return True
    version = observed.client.routes.get(MODEL).versions[0].version
    observed.client.monitor.report(MODEL, [_outcome(f"later-{time.monotonic()}", version, wrong=True)])
    time.sleep(1)
    return False


def _bad_release(suite: Suite, catalogue: Catalogue, file: Path) -> None:
    client = suite.client
    stable = catalogue.serve(suite, MODEL, *OLD)
    file.write_bytes(onnx_models.failing(4, *NEW).SerializeToString())
    bad = client.push(MODEL, file).number
    client.monitor.set_capture(monitor_pb2.Capture(name=f"captures/{MODEL}", percent=50))
    client.infer(MODEL, {"x": np.ones((1, 4), np.float32)}, stable)
    policy = pb.ReleasePolicy(shadow_samples=-1)
    for percent in (20, 100):
        policy.steps.add(percent=percent, min_requests=20).min_time.FromTimedelta(timedelta(seconds=60))
    policy.judge.ignore_slow = True
    with Load(suite.address, MODEL, {stable: OLD, bad: NEW}):
        release = client.releases.start(MODEL, bad, policy)
        for wave in range(6):
            outcomes = [_outcome(f"{wave}-{n}", stable, n % 4 == 0) for n in range(20)]
            assert client.monitor.report(MODEL, outcomes).joined == 20
            time.sleep(1.2)
        ended = client.releases.wait(release.name, decided=False, timeout=60)
    assert (ended.state, ended.reason) == (pb.Release.STATE_ROLLED_BACK, "BAD_ERRORS"), ended.message


def _outcome(request: str, version: int, wrong: bool) -> monitor_pb2.Outcome:
    return monitor_pb2.Outcome(request_id=request, label="1", prediction="0" if wrong else "1", version=version)


def test_everything_is_found_by_discovery(prometheus: Prometheus) -> None:
    up = {job: prometheus.value(f'sum(up{{job="{job}"}})') for job in JOBS}
    assert up == JOBS
    assert prometheus.value('count(up{job="triton",node=~"blue|green",pool="default"})') == 2


def test_every_query_of_every_dashboard_has_data(prometheus: Prometheus) -> None:
    queries = list(dashboard_queries())
    assert {asked.dashboard for asked in queries} == {
        "traffic", "releases", "models", "drift", "triton", "gateway", "services",
    }  # fmt: skip
    empty = [asked for asked in queries if not prometheus.numbers(asked.expression, 90) and not _known(asked)]
    assert empty == []


def _known(asked: Asked) -> bool:
    return any(name.split("{")[0] in ABSENT for name in selectors(asked.expression))


def test_every_rule_is_evaluated_and_reads_series_that_are_there(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert [r["name"] for r in rules if r["health"] != "ok" or r.get("lastError")] == []
    read = {selector for rule in rules for selector in selectors(rule["query"])}
    missing = {selector for selector in read if not prometheus.numbers(f"count({selector})", 90)}
    assert {s for s in missing if s not in ABSENT and s.split("{")[0] not in ABSENT} == set()
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert [name for name in recorded if not prometheus.numbers(name, 90)] == []
    assert prometheus.numbers(f'model:bmase_failures:ratio_rate5m{{model="{MODEL}"}} > 0', 90)


def test_the_rollback_reaches_the_webhook(observed: Suite, prometheus: Prometheus, hook: Hook) -> None:
    observed.until(lambda: "ReleaseRolledBack" in hook.names, "the alert of the rollback at the webhook", 40)
    alert = next(a for a in prometheus.ask("alerts")["alerts"] if a["labels"]["alertname"] == "ReleaseRolledBack")
    assert (alert["labels"]["model"], alert["labels"]["reason"]) == (MODEL, "BAD_ERRORS")
    assert not {"PatcherDown", "MonitorDown", "EnvoyDown", "NodeLost", "NobodyLeads"} & hook.names


def test_it_is_remembered_shown_and_taken_away(observed: Suite, prometheus: Prometheus) -> None:
    rows = observed.status()
    assert all(rows[name]["ready"] for name in PROGRAMS)
    assert rows["prometheus"]["address"] == observed.endpoints["prometheus"]
    before = {name: observed.pid(name) for name in rows}
    observed.cli("up")
    assert {name: observed.pid(name) for name in rows} == before, "nothing said is as it was"
    assert observed.run("logs", "prometheus").returncode == 0
    observed.cli("up", "--no-observability")
    assert not set(PROGRAMS) & set(observed.status())
    assert not set(PROGRAMS) & set(observed.endpoints)
    assert all(pid not in leftovers.find(observed.id) for name, pid in before.items() if name in PROGRAMS)
    observed.cli("up", "--observability")
    assert all(observed.status()[name]["ready"] for name in PROGRAMS)
