"""What is wrong with a version's traffic now, in the words of an alert: one finding a tensor and kind."""

from __future__ import annotations

from collections.abc import Iterator

from services.monitor.alerts.model import Finding, Scope
from services.monitor.drift.tensor import Found, LiveTensor
from services.monitor.drift.version import LiveVersion

DRIFT, QUALITY = "drift", "quality"
NAMED = 5
_WORDS = {
    "missing": "missing",
    "infinite": "infinite",
    "out_of_range": "outside of the reference's range",
    "new_categories": "in categories that the reference does not have",
}


def findings_of(model: str, number: int, version: LiveVersion) -> dict[Scope, list[Finding]]:
    """Of each kind that has been looked for; empty lists say that all is well."""
    if version.reference is None:
        return {}
    made: dict[Scope, list[Finding]] = {Scope(model, number, kind): [] for kind in (DRIFT, QUALITY)}
    for live in version.tensors.values():
        for kind, finding in _of_tensor(live):
            made[Scope(model, number, kind)].append(finding)
    return made


def _of_tensor(live: LiveTensor) -> Iterator[tuple[str, Finding]]:
    found = sorted(live.found(), key=lambda item: (-item.effect, item.feature))
    moved = [item for item in found if item.kind == DRIFT]
    if moved:
        total = len(live.layout.features)
        text = (
            f"{len(moved)} of {total} features of {live.layout.tensor} moved away from the reference: {_drift(moved)}"
        )
        yield DRIFT, Finding(live.layout.tensor, text, moved[0].effect)
    odd = [item for item in found if item.kind != DRIFT]
    if odd:
        text = f"too many odd values in {live.layout.tensor}: {_quality(odd)}"
        yield QUALITY, Finding(live.layout.tensor, text, odd[0].effect)


def _drift(moved: list[Found]) -> str:
    return _listed([f"{item.feature} by {item.effect:.2f}" for item in moved])


def _quality(odd: list[Found]) -> str:
    return _listed([f"{item.effect:.1%} of {item.feature} {_WORDS[item.kind]}" for item in odd])


def _listed(parts: list[str]) -> str:
    more = len(parts) - NAMED
    return ", ".join(parts[:NAMED]) + (f" and {more} more" if more > 0 else "")
