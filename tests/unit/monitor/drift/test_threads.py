"""The engine is called from the thread that decodes and from those of calls at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.monitor.drift.engine import DriftEngine
from services.monitor.drift.settings import DriftSettings
from services.monitor.sketches import Role
from tests.unit.monitor.drift.traffic import MODEL, VERSION, Traffic, reference

ROUNDS = 300


def test_no_row_is_lost_or_counted_twice(tmp_path: Path) -> None:
    engine = DriftEngine(tmp_path, DriftSettings(window_rows=1_000_000))
    engine.put_reference(reference(500), 0.0)
    rows = Traffic().inputs(7)
    calls: list[Callable[[int], object]] = [
        lambda _: engine.add(MODEL, VERSION, rows, Role.INPUT),
        lambda _: engine.add(MODEL, VERSION, rows, Role.INPUT),
        lambda now: engine.tick(float(now)),
        lambda _: engine.report(MODEL, VERSION),
        lambda _: engine.snapshot(),
        lambda _: engine.put_reference(reference(500), 0.0),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(_repeat, call) for call in calls]:
            done.result()
    engine.tick(1e6)
    report = engine.report(MODEL, VERSION, limit=100)
    assert report.rows == 2 * 7 * ROUNDS
    assert {quality.rows for quality in report.quality} <= {2 * 7 * ROUNDS}


def _repeat(call: Callable[[int], object]) -> None:
    for now in range(ROUNDS):
        call(now)
