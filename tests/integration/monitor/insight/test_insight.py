"""Insight as a whole, called as the servicer calls it: over both stores, over restarts, and while things are away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.monitor.v1 import evidence_pb2
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason
from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.monitor import insight_build
from services.monitor.captures import Captures
from services.monitor.insight import Insight
from services.monitor.insight_config import InsightSettings
from services.monitor.outcomes import OutcomeEvent
from tests.support.inference import digit, pair
from tests.support.secantusdb import SecantusDB

pytestmark = pytest.mark.anyio


async def traffic(model: str, version: int) -> evidence_pb2.Arm:
    return evidence_pb2.Arm(requests=100 * version)


class Room:
    """One monitor's Insight, which can be ended and begun again."""

    def __init__(self, folder: Path, consul: Consul, url: str) -> None:
        self.settings = InsightSettings(data_dir=folder, samples_url=url)
        self.consul = consul
        self.events: list[OutcomeEvent] = []
        self.metrics = CollectorRegistry()

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Insight]:
        captures = Captures(
            self.settings.data_dir / "captures.json", self.consul, insight_build.defaults(self.settings)
        )
        async with contextlib.AsyncExitStack() as stack:
            insight = await insight_build.build(
                stack,
                self.settings,
                self.consul,
                captures,
                self.metrics,
                on_outcome=self.events.append,
                traffic=traffic,
            )
            task = asyncio.create_task(insight.run())
            yield insight
            assert not task.done(), "a part of Insight ended"
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settled(self, insight: Insight) -> None:
        async with asyncio.timeout(20):
            await insight.looking.looked()
            await insight._parts.writer.flushed()


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecantusDB]:
    with SecantusDB(tmp_path_factory.mktemp("secantusdb")) as server:
        yield server


@pytest.fixture(params=["memory", "mongodb"])
def room(request: pytest.FixtureRequest, consul: Consul, tmp_path: Path) -> Room:
    url = "memory:" if request.param == "memory" else request.getfixturevalue("shared_store").url()
    return Room(tmp_path / "monitor", consul, url)


def sampled(number: int, label: int = 7, **more: Any) -> Any:
    inputs = {"image": np.full((1, 4), number, np.float32), "patient": np.array([[f"patient-{number}"]], object)}
    return pair(
        inputs, {"probabilities": digit(label)}, request_id=f"r-{number}", client=f"client-{number % 3}", **more
    )


async def listed(insight: Insight, **asked: Any) -> list[pb.Sample]:
    found: list[pb.Sample] = []
    token = ""
    while True:
        request = pb.ListSamplesRequest(model="models/digits", page_token=token, **asked)
        answer = await insight.ListSamples(request)
        found += answer.samples
        token = answer.next_page_token
        if not token:
            return found


def capture(**change: Any) -> pb.UpdateCaptureRequest:
    return pb.UpdateCaptureRequest(capture=pb.Capture(**{"name": "captures/digits", "percent": 100.0, **change}))


def reported(*numbers: int, label: str = "7", **more: Any) -> pb.ReportOutcomesRequest:
    outcomes = [pb.Outcome(request_id=f"r-{number}", label=label, **more) for number in numbers]
    return pb.ReportOutcomesRequest(model="models/digits", outcomes=outcomes)


async def test_samples_are_listed_latest_first_page_by_page(room: Room) -> None:
    async with room.life() as insight:
        for number in range(25):
            insight.pair(sampled(number, version=1 + number % 2))
        await room.settled(insight)
        assert [one.request_id for one in await listed(insight, page_size=10)] == [f"r-{n}" for n in range(24, -1, -1)]
        assert [one.version for one in await listed(insight, page_size=5, version=2)] == [2] * 12
        insight.lost("digits")
        shown = await insight.GetCapture(pb.GetCaptureRequest(name="captures/digits"))
        assert (shown.percent, shown.sampled, shown.dropped) == (1.0, 26, 1)
        other = pb.ListSamplesRequest(model="models/digits", page_size=10)
        token = (await insight.ListSamples(other)).next_page_token
        with pytest.raises(DomainError) as refused:
            await insight.ListSamples(pb.ListSamplesRequest(model="models/other", page_token=token))
        assert refused.value.reason is Reason.PAGE_TOKEN_INVALID


async def test_outcomes_meet_their_samples_and_reach_the_judge(room: Room) -> None:
    async with room.life() as insight:
        early = await insight.ReportOutcomes(reported(3, label="1"))
        assert (early.joined, early.waiting, early.repeated) == (0, 1, 0)
        for number in range(10):
            insight.pair(sampled(number, version=2))
        await room.settled(insight)
        answer = await insight.ReportOutcomes(reported(3, 4, 5, 99))
        assert (answer.joined, answer.waiting, answer.repeated) == (2, 1, 1)
        assert [(event.request_id, event.wrong, event.client) for event in room.events] == [
            ("r-3", True, "client-0"),
            ("r-4", False, "client-1"),
            ("r-5", False, "client-2"),
        ]
        await room.settled(insight)
        wrong = await listed(insight, wrong=True)
        assert [(one.request_id, one.outcome.label, one.prediction) for one in wrong] == [("r-3", "1", "7")]
        request = pb.CompareVersionsRequest(model="models/digits", stable=1, candidate=2)
        compared = await insight.CompareVersions(request)
        assert (compared.candidate.requests, compared.candidate.outcomes, compared.candidate.wrong) == (200, 3, 1)
        assert (compared.stable.requests, compared.stable.outcomes) == (100, 0)
        assert (
            room.metrics.get_sample_value(
                "bmase_monitor_outcomes_total", {"model": "digits", "version": "2", "wrong": "true"}
            )
            == 1.0
        )


async def test_a_restart_keeps_settings_reports_and_what_the_store_keeps(room: Room) -> None:
    async with room.life() as insight:
        await insight.UpdateCapture(capture(redacted=["patient"], label_output="probabilities"))
        insight.pair(sampled(1))
        await room.settled(insight)
        await insight.ReportOutcomes(reported(1))
    async with room.life() as insight:
        shown = await insight.GetCapture(pb.GetCaptureRequest(name="captures/digits"))
        assert list(shown.redacted) == ["patient"]
        assert (await insight.ReportOutcomes(reported(1, label="1"))).repeated == 1
        kept = room.settings.samples_url.startswith("mongodb")
        assert len(await listed(insight)) == (1 if kept else 0)
        if kept:
            insight.pair(sampled(2))
            await room.settled(insight)
            assert (await listed(insight))[1].outcome.label == "7"


async def test_redaction_and_opting_out_take_effect_at_once_and_backwards(room: Room) -> None:
    async with room.life() as insight:
        insight.pair(sampled(1))
        await room.settled(insight)
        assert "patient-1" in str(await listed(insight))
        wanted = pb.GetDriftRequest(name="models/digits/versions/1", limit=1000)
        assert "patient-1" in str(await insight.GetDrift(wanted))
        await insight.UpdateCapture(capture(redacted=["patient"]))
        insight.pair(sampled(2))
        await room.settled(insight)
        async with asyncio.timeout(10):
            while [one.request_id for one in await listed(insight)] != ["r-2"]:
                await asyncio.sleep(0.05)
        assert "patient-" not in str(await listed(insight))
        report = await insight.GetDrift(wanted)
        assert report.rows == 2
        assert "patient-" not in str(report)
        await insight.UpdateCapture(capture(opt_out=True))
        assert (await insight.GetDrift(wanted)).rows == 0
        insight.pair(sampled(3))
        await room.settled(insight)
        async with asyncio.timeout(10):
            while await listed(insight):
                await asyncio.sleep(0.05)
        shown = await insight.GetCapture(pb.GetCaptureRequest(name="captures/digits"))
        assert shown.sampled == 2, "what opted out is not even counted as sampled"


async def test_a_short_retention_is_kept(room: Room) -> None:
    async with room.life() as insight:
        await insight.UpdateCapture(capture(retention=Duration(seconds=2)))
        insight.pair(sampled(1))
        await room.settled(insight)
        assert len(await listed(insight)) == 1
        await asyncio.sleep(2.5)
        assert await listed(insight) == []


async def test_drift_is_reported_of_what_was_sampled(room: Room) -> None:
    rows = np.random.default_rng(1).normal(size=(2000, 4)).astype(np.float32)
    reference = pb.PutReferenceRequest(name="models/digits/versions/1")
    reference.inputs.add(name="image", datatype="FP32", shape=rows.shape, raw=rows.tobytes())
    async with room.life() as insight:
        await insight.PutReference(reference)
        for number in range(1000):
            insight.pair(pair({"image": rows[number : number + 1] + 3}, {"probabilities": digit(7)}))
            if number % 200 == 199:
                await insight.looking.looked()
        await room.settled(insight)
        report = pb.DriftReport()
        async with asyncio.timeout(20):
            while not report.features_drifted:
                await asyncio.sleep(0.2)
                report = await insight.GetDrift(pb.GetDriftRequest(name="models/digits/versions/1"))
        assert report.has_reference
        assert report.features[0].ks > 0.8
        async with asyncio.timeout(10):
            while not (await insight.ListAlerts(pb.ListAlertsRequest())).alerts:
                await asyncio.sleep(0.2)
        async for alert in insight.WatchAlerts(pb.WatchAlertsRequest(model="models/digits")):
            assert alert.kind == "drift"
            break


async def test_without_the_store_only_reads_of_samples_fail(consul: Consul, tmp_path: Path) -> None:
    room = Room(tmp_path / "monitor", consul, "mongodb://127.0.0.1:9/bmase?serverSelectionTimeoutMS=500")
    async with room.life() as insight:
        insight.pair(sampled(1))
        await insight.looking.looked()
        answer = await insight.ReportOutcomes(reported(1, label="1"))
        assert answer.joined == 1
        assert [event.wrong for event in room.events] == [True]
        await insight.UpdateCapture(capture(percent=5.0))
        await insight.GetDrift(pb.GetDriftRequest(name="models/digits/versions/1"))
        with pytest.raises(DomainError) as refused:
            await insight.ListSamples(pb.ListSamplesRequest(model="models/digits"))
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
