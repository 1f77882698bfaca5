"""Prometheus asks in a thread of its own: it may read what was seen, and change nothing of it."""

from __future__ import annotations

from types import SimpleNamespace

from prometheus_client import CollectorRegistry, generate_latest

from services.patcher.documents import Status, Step
from services.patcher.metrics import PatcherMetrics
from services.patcher.observation import NodeView, Observation

SEEN = Observation(
    now=1.0,
    nodes={"blue": NodeView(alive=True), "green": NodeView(alive=False)},
    statuses={("blue", "digits"): Status(model="digits", version=1, digest="d1", state=Step.READY)},
)


def collected(last: Observation | None, foreign: str = "") -> str:
    """The metrics over a view that has nothing but what was seen last."""
    registry = CollectorRegistry()
    loop, view, claim = (
        SimpleNamespace(leading=not foreign),
        SimpleNamespace(last=last),
        SimpleNamespace(foreign=foreign),
    )
    PatcherMetrics(registry, loop, view, claim)  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def test_reads_what_was_seen_last() -> None:
    text = collected(SEEN)
    assert 'bmase_patcher_nodes{state="silent"} 1.0' in text
    assert 'bmase_patcher_placements{state="ready"} 1.0' in text
    assert "bmase_patcher_foreign_database 0.0" in text


def test_says_that_it_must_not_lead_before_anything_is_seen() -> None:
    text = collected(None, "another database")
    assert "bmase_patcher_foreign_database 1.0" in text
    assert "bmase_patcher_leading 0.0" in text
    assert "bmase_patcher_nodes{" not in text
