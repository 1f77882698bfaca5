"""Releases and what they are judged on, in words."""

from __future__ import annotations

from typing import Any

from bmase import names
from bmase.cli import jsonform, words

BAR = 20


def state(release: Any) -> str:
    """`stepping (paused)`."""
    more = [word for flag, word in ((release.paused, "paused"), (release.waits_at_gate, "waits at a gate")) if flag]
    plain = words.enum(release, "state").replace("_", " ")
    return f"{plain} ({', '.join(more)})" if more else plain


def steps(release: Any) -> str:
    """`1 % -> [5 %] -> 25 %`: the present one in brackets."""
    shown = []
    for index, step in enumerate(release.policy.steps):
        text = f"{step.percent:g} %" + (" gate" if step.gate else "")
        shown.append(f"[{text}]" if index == release.step else text)
    return " -> ".join(shown)


def line(release: Any) -> str:
    """One line that says where it is and why."""
    said = f"{names.short(release.model)} v{release.stable} -> v{release.candidate}: {state(release)}"
    said += f" at {release.percent:g} %"
    return said + (f", {release.message}" if release.message else "")


def clock(stamp: Any) -> str:
    """The time of day, local, to the tenth of a second."""
    return jsonform.time_of(stamp).astimezone().strftime("%H:%M:%S.%f")[:-5] if stamp.seconds else ""


def lines(evidence: Any) -> str:
    """Everything of it, below each other."""
    said = [f"{words.enum(evidence, 'verdict')} {evidence.reason}: {evidence.message}".strip()]
    for name in ("stable", "candidate"):
        arm = getattr(evidence, name)
        said.append(f"{name} v{arm.version}: {counts(arm)}")
    said += [suspicion(one) for one in evidence.suspicions]
    said.append(f"candidate's bad rate is at most {100 * evidence.upper_difference:.2f} % above the stable version's")
    return "\n".join(said)


def counts(arm: Any) -> str:
    """`1,234 requests, 3 errors, 2 slow, 0 of 120 wrong, p50 1.2 ms, p99 4.5 ms`."""
    said = [f"{arm.requests:,} requests", f"{arm.errors:,} errors", f"{arm.slow:,} slow"]
    if arm.outcomes:
        said.append(f"{arm.wrong:,} of {arm.outcomes:,} wrong")
    if arm.p99_ms:
        said.append(f"p50 {arm.p50_ms:.3g} ms, p99 {arm.p99_ms:.3g} ms")
    return ", ".join(said)


def suspicion(one: Any) -> str:
    """`errors: evidence 12.3 of 250 (3 events of the candidate, 1 of the stable version)`."""
    ratio = f", most likely {one.ratio:.3g} times as often" if one.ratio else ""
    return (
        f"{words.enum(one, 'kind')}: evidence {one.evidence:.3g} of {one.limit:.3g} "
        f"({one.candidate_events} of the candidate, {one.stable_events} of the stable version{ratio})"
    )


def bar(share: float, width: int = BAR) -> str:
    """A bar of so many blocks for a share from 0 to 1."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)
