"""Kept requests sent again, through a real gateway to real nodes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.monitor.captures import CaptureSettings
from services.monitor.intake.pairs import Pair
from services.monitor.replay import Asked, Replay
from services.monitor.samples.looking import look
from services.monitor.samples.memory import MemoryStore
from services.monitor.samples.model import Batch
from tests.support.gateway import Platform
from tests.support.inference import pair

pytestmark = pytest.mark.anyio

# The model answers its input `x` as `y`, and its version, an integer, which is guessed to be the label.
BY_VALUE = "y"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("platform"))
    try:
        made.start()
        made.place("lin", {1: ["blue"], 2: ["green"]})
        made.gateway.set_route("lin", {1: 100, 2: 0})
        yield made
    finally:
        made.close()


@pytest.fixture
async def replay(platform: Platform) -> AsyncIterator[Replay]:
    async with Consul(platform.consul.url) as consul:
        yield Replay(MemoryStore(1 << 24), consul, ServiceSettings())


async def keep(replay: Replay, *pairs: Pair) -> None:
    samples = tuple(look(one, CaptureSettings()).sample for one in pairs)
    await replay._store.write(Batch(samples, (), {one.id: one.time + 3600 for one in samples}))


def over_http(value: float, request_id: str) -> Pair:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [value]}
    answer = {"outputs": [{**tensor, "name": "y"}]}
    body, answered = (json.dumps(document).encode() for document in ({"inputs": [tensor]}, answer))
    return pair(
        {}, {}, model="lin", protocol="http", request=body, response=answered, status="200", request_id=request_id
    )


def over_grpc(value: float, request_id: str) -> Pair:
    x = np.array([[value]], np.float32)
    return pair({"x": x}, {"y": x}, model="lin", request_id=request_id)


async def run(replay: Replay, **asked: object) -> list[pb.ReplaySamplesResponse]:
    wanted = Asked("lin", 1, 2, **asked)  # type: ignore[arg-type]
    return [progress async for progress in replay.run(wanted)]


async def test_versions_that_agree(replay: Replay) -> None:
    await keep(
        replay, *(over_grpc(float(n), f"r-{n}") for n in range(50)), *(over_http(float(n), f"h-{n}") for n in range(50))
    )
    last = (await run(replay, label_output=BY_VALUE))[-1]
    assert (last.done, last.total, last.disagreed, last.candidate_failed, last.stable_failed) == (100, 100, 0, 0, 0)
    assert 0 < last.stable_p50_ms <= last.stable_p99_ms
    assert 0 < last.candidate_p50_ms <= last.candidate_p99_ms
    assert last.disagreement_low == 0.0
    assert last.disagreement_high < 0.1


async def test_versions_that_disagree_on_the_label(replay: Replay) -> None:
    await keep(replay, *(over_grpc(float(n), f"r-{n}") for n in range(30)))
    last = (await run(replay))[-1]
    assert (last.done, last.disagreed) == (30, 30)
    assert last.disagreement_low > 0.5
    assert len(last.examples) == 10
    assert set(last.examples) < {f"r-{n}" for n in range(30)}


async def test_what_the_stable_version_refuses_is_kept_apart(replay: Replay) -> None:
    await keep(replay, over_grpc(float("nan"), "bad"), over_grpc(1.0, "good"))
    last = (await run(replay, label_output=BY_VALUE))[-1]
    assert (last.done, last.stable_failed, last.candidate_failed, last.disagreed) == (2, 1, 0, 0)


async def test_only_the_latest_are_sent_and_progress_is_told(replay: Replay) -> None:
    # A negative value keeps the model busy for as many seconds.
    await keep(replay, *(over_grpc(-0.1, f"r-{n}") for n in range(40)))
    told = await run(replay, count=12, label_output=BY_VALUE)
    assert told[-1].total == 12
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert len(told) > 1
    assert told[0].total == 12


async def test_without_samples_there_is_nothing_to_do(replay: Replay) -> None:
    assert (await run(replay))[-1].total == 0


async def test_a_version_that_nobody_serves_is_no_version_that_fails(replay: Replay) -> None:
    await keep(replay, over_grpc(1.0, "r"))
    with pytest.raises(DomainError) as refused:
        [one async for one in replay.run(Asked("lin", 1, 9))]
    assert refused.value.reason is Reason.VERSION_NOT_DEPLOYED


async def test_who_stops_reading_stops_the_replay(replay: Replay, platform: Platform) -> None:
    await keep(replay, *(over_grpc(-0.2, f"r-{n}") for n in range(100)))
    async for _ in (progress := replay.run(Asked("lin", 1, 2, label_output=BY_VALUE))):
        break
    await progress.aclose()  # type: ignore[attr-defined]


async def test_without_a_gateway_it_is_said_what_is_missing(tmp_path: Path) -> None:
    from tests.support.consul import Consul as ConsulServer  # noqa: PLC0415

    with ConsulServer(tmp_path) as server:
        async with Consul(server.url) as consul:
            replay = Replay(MemoryStore(1 << 20), consul, ServiceSettings())
            await keep(replay, over_grpc(1.0, "r"))
            with pytest.raises(DomainError) as refused:
                await run(replay)
            assert refused.value.reason is Reason.SERVICE_UNAVAILABLE
            await consul.kv.put("bmase/gateways/gone", {"address": "127.0.0.1:9"})
            with pytest.raises(DomainError) as refused:
                await run(replay)
            assert "127.0.0.1:9" in refused.value.message
