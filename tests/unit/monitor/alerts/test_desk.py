"""Alerts of a running monitor: kept, listed, watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.monitor.alerts import Alert, Alerts, Finding, Scope, State
from services.monitor.alerts.calls import AlertCalls

pytestmark = pytest.mark.anyio

FOUND = {Scope("digits", 3, "drift"): [Finding("input/image", "moved", 0.6)]}
OTHER = {Scope("credit", 1, "quality"): [Finding("input/age", "missing", 0.2)]}
CLEAN: dict[Scope, list[Finding]] = {Scope("digits", 3, "drift"): []}


async def following(stream: AsyncIterator[Alert]) -> Alert:
    async with asyncio.timeout(5):
        return await anext(stream)


async def test_alerts_survive_a_restart(tmp_path: Path) -> None:
    Alerts(tmp_path).apply(FOUND, 10.0)
    again = Alerts(tmp_path)
    again.load()
    assert again.get("alerts/1").message == "moved"
    assert again.apply(FOUND, 11.0) == []


async def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    Alerts(tmp_path).apply(FOUND, 10.0)
    (tmp_path / "alerts.json").write_bytes(b'{"next": 2')
    again = Alerts(tmp_path)
    again.load()
    assert again.page().alerts == []
    assert (tmp_path / "alerts.unreadable").exists()


async def test_a_full_disk_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.write_bytes(b"a file where the folder should be")
    alerts = Alerts(folder)
    assert len(alerts.apply(FOUND, 10.0)) == 1
    assert len(alerts.page().alerts) == 1


async def test_lists_are_latest_first_in_pages_and_without_history(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    alerts.apply(FOUND, 10.0)
    alerts.apply(OTHER, 11.0)
    alerts.apply(CLEAN, 12.0)
    alerts.apply(FOUND, 13.0)
    assert [a.number for a in alerts.page().alerts] == [3, 2]
    assert [a.number for a in alerts.page(everything=True).alerts] == [3, 2, 1]
    assert [a.number for a in alerts.page(model="digits", everything=True).alerts] == [3, 1]
    first = alerts.page(everything=True, size=2)
    assert [a.number for a in alerts.page(everything=True, size=2, token=first.token).alerts] == [1]
    assert alerts.page(everything=True, size=3).token == ""


async def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as raised:
        Alerts(tmp_path).page(token="x1")
    assert raised.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize("name", ["alerts/7", "alerts/", "7", "alerts/../1", "alerts/١"])
async def test_an_unknown_alert_is_not_found(tmp_path: Path, name: str) -> None:
    alerts = Alerts(tmp_path)
    for call in (
        lambda: alerts.get(name),
        lambda: alerts.resolve(name, 1.0),
        lambda: alerts.acknowledge(name, "", 1.0),
    ):
        with pytest.raises(DomainError) as raised:
            call()
        assert raised.value.reason is Reason.ALERT_NOT_FOUND


async def test_a_watcher_sees_what_is_open_and_then_each_change(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    alerts.apply(FOUND, 10.0)
    stream = alerts.watch("digits")
    assert (await following(stream)).number == 1
    alerts.apply(OTHER, 11.0)
    alerts.acknowledge("alerts/1", "amira", 12.0)
    assert (await following(stream)).state is State.ACKNOWLEDGED
    alerts.apply(CLEAN, 13.0)
    assert (await following(stream)).state is State.RESOLVED
    await stream.aclose()
    assert alerts.apply(FOUND, 14.0)[0].number == 3


async def test_a_slow_watcher_gets_the_latest_of_each(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    stream = alerts.watch()
    alerts.apply(OTHER, 1.0)
    assert (await following(stream)).model == "credit"
    for time in range(10, 2_000, 10):
        alerts.apply({Scope("digits", 3, "drift"): [Finding("input/image", f"at {time}", 0.6)]}, time)
    assert (await following(stream)).message == "at 1990"


async def test_the_calls_speak_the_contract(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    alerts.apply(FOUND, 10.5)
    calls = AlertCalls(alerts, clock=lambda: 20.0)
    (listed,) = (await calls.ListAlerts(pb.ListAlertsRequest(model="models/digits"))).alerts
    assert (listed.name, listed.model, listed.version, listed.state) == (
        "alerts/1",
        "models/digits",
        3,
        pb.Alert.STATE_OPEN,
    )
    assert listed.open_time.ToNanoseconds() == 10_500_000_000
    taken = await calls.AcknowledgeAlert(pb.AcknowledgeAlertRequest(name="alerts/1", by="amira"))
    assert (taken.state, taken.acknowledged_by) == (pb.Alert.STATE_ACKNOWLEDGED, "amira")
    over = await calls.ResolveAlert(pb.ResolveAlertRequest(name="alerts/1"))
    assert (over.state, over.update_time.seconds) == (pb.Alert.STATE_RESOLVED, 20)
    assert (await calls.ListAlerts(pb.ListAlertsRequest())).alerts == []
    assert len((await calls.ListAlerts(pb.ListAlertsRequest(all=True))).alerts) == 1


async def test_the_calls_name_a_wrong_field(tmp_path: Path) -> None:
    calls = AlertCalls(Alerts(tmp_path))
    with pytest.raises(InvalidArgument) as raised:
        await calls.ListAlerts(pb.ListAlertsRequest(model="digits"))
    assert raised.value.violations[0].field == "model"
