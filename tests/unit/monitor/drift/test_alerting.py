"""From what is found to what people are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.monitor.alerts import Alerts, State
from services.monitor.sketches import Role
from tests.unit.monitor.drift.traffic import MODEL, VERSION, Fed

pytestmark = pytest.mark.anyio


async def test_a_change_is_one_alert_that_ends_by_itself(tmp_path: Path) -> None:
    fed, alerts = Fed(tmp_path), Alerts(tmp_path)
    for _ in range(5):
        alerts.apply(fed.feed(200, shift=1.0), fed.now)
    (alert,) = alerts.page().alerts
    assert (alert.model, alert.version, alert.kind, alert.feature) == (MODEL, VERSION, "drift", "input/x")
    assert "1 of 4 features of input/x moved away from the reference: input/x[2] by 0." in alert.message
    assert alert.effect > 0.2
    for _ in range(15):
        alerts.apply(fed.feed(200), fed.now)
    (alert,) = alerts.page(everything=True).alerts
    assert alert.state is State.RESOLVED


async def test_drift_and_quality_of_a_tensor_are_two_alerts(tmp_path: Path) -> None:
    fed, alerts = Fed(tmp_path), Alerts(tmp_path)
    rows = fed.traffic.inputs(500, shift=2.0)
    rows["x"][:50, 0] = np.nan
    fed.engine.add(MODEL, VERSION, rows, Role.INPUT)
    alerts.apply(fed.look(), fed.now)
    found = {alert.kind: alert for alert in alerts.page().alerts}
    assert set(found) == {"drift", "quality"}
    assert "10.0% of input/x[0] missing" in found["quality"].message


async def test_when_all_features_move_the_alert_names_a_few(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    rows = fed.traffic.inputs(500)
    rows["x"] += 3
    fed.engine.add(MODEL, VERSION, rows, Role.INPUT)
    (alert,) = Alerts(tmp_path).apply(fed.look(), fed.now)[:1]
    assert alert.message.startswith("4 of 4 features of input/x moved")
