"""A monitor that is killed, hangs or is slow costs requests nothing, and Envoy's memory stays bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from services.gateway.envoy.capture import BODY_BYTES, MESSAGES
from services.gateway.envoy.shown import SAMPLED
from tests.support.gateway import Platform, ask, eventually
from tests.support.intake import Intake
from tests.support.load import Load

SAME = {1: (1.0, 0.0), 2: (1.0, 0.0)}
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Everything is shown."""
    made = Platform(tmp_path_factory.mktemp("faults"), capture_percent=100)
    try:
        made.start()
        made.place("lin", {1: ["blue"], 2: ["green"]})
        made.gateway.set_route("lin", {1: 50, 2: 50})
        yield made
    finally:
        made.close()


@pytest.fixture
def intake(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Intake]:
    made = Intake(tmp_path, platform.consul, pause=getattr(request, "param", 0.0))
    try:
        made.start()
        eventually(
            lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "the monitor is found"
        )
        yield made
    finally:
        made.close()


@pytest.fixture
def load(platform: Platform, intake: Intake) -> Iterator[Load]:
    with Load(platform.gateway.address, "lin", SAME) as running:
        yield running


def slowest(load: Load, since: float) -> float:
    """Seconds."""
    return max(answer.done - answer.sent for answer in load.since(since))


def test_it_is_killed_and_comes_back(platform: Platform, intake: Intake, load: Load) -> None:
    eventually(intake.pairs, "pairs")
    intake.process.kill()
    begun = time.monotonic()
    load.wait_for(1000)
    load.assert_no_failures()
    assert slowest(load, begun) < 1
    intake.start()
    intake.forget()
    eventually(intake.pairs, "pairs again", timeout=20)
    load.assert_no_failures()


def test_it_hangs(platform: Platform, intake: Intake, load: Load) -> None:
    eventually(intake.pairs, "pairs")
    intake.process.suspend()
    begun = time.monotonic()
    active = 0
    while time.monotonic() < begun + 8:
        active = max(active, platform.gateway.stat("cluster.monitor-pairs.upstream_rq_active"))
        time.sleep(0.05)
    load.assert_no_failures()
    assert slowest(load, begun) < 1
    assert active <= MESSAGES + 8, "each worker may go over by what it has just begun"
    sent = platform.gateway.stat("cluster.monitor-pairs.upstream_rq_total")
    time.sleep(2 * SAMPLED.seconds)
    assert platform.gateway.stat("cluster.monitor-pairs.upstream_rq_total") == sent, "it is left alone"
    intake.process.resume()
    intake.forget()
    eventually(intake.pairs, "pairs again", timeout=20)
    load.assert_no_failures()


@pytest.mark.parametrize("intake", [0.5], indirect=True)
def test_it_is_slow(platform: Platform, intake: Intake, load: Load) -> None:
    eventually(intake.pairs, "pairs")
    begun = time.monotonic()
    time.sleep(4)
    load.wait_for(100)
    load.assert_no_failures()
    assert slowest(load, begun) < 1
    assert platform.gateway.stat("cluster.monitor-pairs.upstream_rq_active") <= MESSAGES + 8


@pytest.mark.parametrize("how", ["suspend", "slow"])
def test_large_tensors_are_not_held_back_by_it(platform: Platform, tmp_path: Path, how: str) -> None:
    """Bodies as large as are shown, and more of them than may be on their way, while nobody reads them."""
    x = np.ones((1, 250_000), np.float32)
    assert 0.9 * BODY_BYTES < x.nbytes < BODY_BYTES
    tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)

    def infer(count: int) -> float:
        worst = 0.0
        with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
            for _ in range(count):
                begun = time.monotonic()
                client.infer("lin", [tensor])
                worst = max(worst, time.monotonic() - begun)
        return worst

    intake = Intake(tmp_path, platform.consul, pause=0.0 if how == "suspend" else 1.0)
    intake.start()
    eventually(lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "the monitor is found")
    dropped = platform.gateway.stat("access_logs.open_telemetry_access_log.pairs.logs_dropped")
    try:
        infer(3)
        if how == "suspend":
            intake.process.suspend()
        with ThreadPoolExecutor(4) as pool:
            worst = max(pool.map(infer, [40] * 4))
        assert worst < 2.0
        assert platform.gateway.stat("server.memory_allocated") < 1024 * MEBIBYTE
        assert platform.gateway.stat("access_logs.open_telemetry_access_log.pairs.logs_dropped") > dropped
    finally:
        intake.process.resume()
        intake.close()


def test_there_is_none(platform: Platform) -> None:
    eventually(
        lambda: platform.gateway.stat("cluster.monitor-pairs.membership_total") == 0, "nobody is shown anything", 30
    )
    time.sleep(2 * SAMPLED.seconds)
    before = platform.gateway.stat("cluster.monitor-pairs.upstream_rq_total")
    with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
        for _ in range(50):
            ask(client, "lin")
    time.sleep(2 * SAMPLED.seconds)
    assert platform.gateway.stat("cluster.monitor-pairs.upstream_rq_total") == before
