"""Many streams that are like their reference: none may be called different more often than promised."""

from __future__ import annotations

import numpy as np

from services.monitor.drift.bounds import Budget
from services.monitor.drift.grid import Grid
from services.monitor.drift.groups import Groups
from services.monitor.drift.tally import Tally, TensorReference, distances
from services.monitor.sketches import Layout, Role

STREAMS, REFERENCE_ROWS, ROWS, STEP = 200, 500, 3_000, 50


def test_no_stream_of_the_same_kind_is_called_different() -> None:
    """The reference is a sample, too: a test that takes it for the truth fails here."""
    rng = np.random.default_rng(42)
    alarms = careless = 0
    for _ in range(STREAMS):
        known = _reference(rng)
        tally, crossed, crossed_carelessly = Tally(known), False, False
        for _ in range(ROWS // STEP):
            tally.add(rng.normal(size=(5, STEP)).astype(np.float32), {"output/y.label": _labels(rng, STEP)})
            found = distances(tally, Budget(0.05, 6, 1), 0.0)
            crossed |= bool(found.crossed.any())
            careless_bound = np.sqrt(np.log(2 * 6 / 0.05) / (2 * found.rows))
            crossed_carelessly |= bool((found.ks > careless_bound).any())
        alarms += crossed
        careless += crossed_carelessly
    assert alarms <= 0.05 * STREAMS
    assert careless > 0.2 * STREAMS


def _labels(rng: np.random.Generator, rows: int) -> dict[str, int]:
    counts = rng.multinomial(rows, [0.4, 0.3, 0.2, 0.1])
    return {str(index): int(n) for index, n in enumerate(counts)}


def _reference(rng: np.random.Generator) -> TensorReference:
    rows = rng.normal(size=(REFERENCE_ROWS, 5)).astype(np.float32)
    layout = Layout.of(Role.OUTPUT, "y", rows)
    return TensorReference(layout, REFERENCE_ROWS, Grid.of(rows.T), (Groups.of(_labels(rng, REFERENCE_ROWS)),))
