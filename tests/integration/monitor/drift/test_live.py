"""The engine at work: samples in, alerts out, and all of it again after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb

from services.kit.errors import InvalidArgument
from services.monitor.alerts import Alerts, State
from services.monitor.drift.engine import DriftEngine
from services.monitor.drift.live import LiveDrift
from services.monitor.oip import Tensor
from services.monitor.samples.looking import Looked
from services.monitor.samples.model import Sample
from tests.unit.monitor.drift.traffic import MODEL, NAME, SETTINGS, VERSION, Traffic, reference

pytestmark = pytest.mark.anyio


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def looked(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Looked:
    sample = Sample(
        id="0" * 24,
        model=MODEL,
        version=VERSION,
        time=1.0,
        request_ids=(),
        client="",
        status="OK",
        duration_ms=1.0,
        protocol="grpc",
        via="weight",
        inputs=(),
        outputs=(),
        prediction="",
        raw=b"",
    )
    return Looked(sample, tensors(inputs), tensors(outputs))


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: Tensor("BYTES" if array.dtype == object else "FP32", array) for name, array in arrays.items()}


def begun(folder: Path, clock: Clock) -> tuple[LiveDrift, Alerts]:
    alerts = Alerts(folder)
    alerts.load()
    return LiveDrift(DriftEngine(folder, SETTINGS), alerts, clock=clock), alerts


async def test_samples_become_an_alert_that_survives_and_ends(tmp_path: Path) -> None:
    clock, traffic = Clock(), Traffic()
    drift, alerts = begun(tmp_path, clock)
    put = await drift.PutReference(reference())
    assert put.features == 8
    for _ in range(400):
        drift.add(looked(traffic.inputs(1, shift=2.0), traffic.outputs(1)))
    await drift.look()
    (alert,) = alerts.page().alerts
    assert (alert.kind, alert.feature) == ("drift", "input/x")

    task = asyncio.create_task(drift.run())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    again, alerts = begun(tmp_path, clock)
    running = asyncio.create_task(again.run())
    async with asyncio.timeout(20):
        while not (await again.GetDrift(pb.GetDriftRequest(name=NAME))).features_drifted:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for _ in range(30):
        clock.now += 1
        again.add(looked(traffic.inputs(100), traffic.outputs(100)))
        await again.look()
    (alert,) = alerts.page(everything=True).alerts
    assert alert.state is State.RESOLVED


async def test_what_is_hidden_is_not_looked_at(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    drift = LiveDrift(DriftEngine(tmp_path, SETTINGS), alerts, hidden=lambda model: {"colour"}, clock=Clock())
    await drift.PutReference(reference())
    traffic = Traffic()
    for _ in range(10):
        rows = traffic.inputs(100)
        del rows["colour"]
        drift.add(looked(rows, {}))
    await drift.look()
    assert alerts.page().alerts == []


@pytest.mark.parametrize(("name", "limit"), [("models/credit", 0), (NAME, -1), (NAME, 100_000)])
async def test_a_wrong_request_is_refused(tmp_path: Path, name: str, limit: int) -> None:
    drift, _ = begun(tmp_path, Clock())
    with pytest.raises(InvalidArgument):
        await drift.GetDrift(pb.GetDriftRequest(name=name, limit=limit))
