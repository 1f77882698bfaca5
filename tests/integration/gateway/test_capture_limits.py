"""How much the monitor is shown is bounded, and below the bounds nothing is lost, however many workers Envoy has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import pytest
import tritonclient.grpc as triton_grpc

from services.gateway.envoy.shown import BAD_REQUESTS, SAMPLED
from tests.support.gateway import Platform, ask, eventually, fail
from tests.support.intake import Intake

WORKERS, CLIENTS, EACH, PER_SECOND = 16, 32, 20, 20


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """One model under judgement, of which all is sampled."""
    made = Platform(tmp_path, nodes=["blue"], envoy_workers=WORKERS, capture_percent=100, capture_per_second=PER_SECOND)
    try:
        made.start()
        made.place("lin", {1: ["blue"]})
        made.put("bmase/routes/lin", {"versions": [{"version": 1, "weight": 1}]})
        made.show("lin", judged=True)
        yield made
    finally:
        made.close()


@pytest.fixture
def intake(platform: Platform, tmp_path: Path) -> Iterator[Intake]:
    made = Intake(tmp_path, platform.consul)
    try:
        made.start()
        eventually(lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "it is found")
        yield made
    finally:
        made.close()


def test_no_bad_request_is_lost_and_pairs_are_bounded(platform: Platform, intake: Intake) -> None:
    def run(number: int) -> None:
        with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
            for _ in range(EACH):
                fail(client, "lin")
                ask(client, "lin")

    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))
    took = time.monotonic() - begun
    eventually(lambda: len(intake.events()) == CLIENTS * EACH, "every bad request")
    time.sleep(SAMPLED.seconds + 0.3)
    assert 0 < len(intake.pairs()) <= ceil(PER_SECOND / WORKERS) * WORKERS * (took + 2)
    stat = platform.gateway.stat
    assert stat(f"access_logs.open_telemetry_access_log.{BAD_REQUESTS.name}.logs_dropped") == 0
    assert "envoy bug" not in platform.gateway.envoy.log.read_text("utf-8", "replace").lower()
