"""A release in words and as the live view."""

from __future__ import annotations

import io

from bmase.cli import evidence, watchview
from bmase.monitor.v1 import evidence_pb2 as ev
from bmase.patcher.v1 import release_pb2 as pb
from rich.console import Console

SEEN = ev.Evidence(
    verdict=ev.Evidence.VERDICT_HOLD,
    reason="TOO_FEW",
    message="240 more requests are needed",
    stable=ev.Arm(version=2, requests=1900, errors=3, p50_ms=1.25, p99_ms=4),
    candidate=ev.Arm(version=3, requests=212, errors=2, outcomes=40, wrong=1, recent_requests=98),
    suspicions=[
        ev.Suspicion(
            kind=ev.Suspicion.KIND_ERRORS, evidence=15.8, limit=250, stable_events=3, candidate_events=2, ratio=6
        )
    ],
    realised_share=0.101,
)
RELEASE = pb.Release(
    name="releases/r-1",
    model="models/digits",
    stable=2,
    candidate=3,
    state=pb.Release.STATE_STEPPING,
    step=1,
    percent=10,
    paused=True,
    message="stays at 10 %",
    policy=pb.ReleasePolicy(steps=[pb.Step(percent=1), pb.Step(percent=10), pb.Step(percent=100, gate=True)]),
    evidence=SEEN,
)


def test_a_line_and_its_parts() -> None:
    assert evidence.line(RELEASE) == "digits v2 -> v3: stepping (paused) at 10 %, stays at 10 %"
    assert evidence.steps(RELEASE) == "1 % -> [10 %] -> 100 % gate"
    said = evidence.lines(SEEN)
    assert "hold TOO_FEW: 240 more requests are needed" in said
    assert "candidate v3: 212 requests, 2 errors, 0 slow, 1 of 40 wrong" in said
    assert "errors: evidence 15.8 of 250 (2 of the candidate, 3 of the stable version, most likely 6 times" in said


def test_the_view_shows_weights_counts_evidence_and_reason() -> None:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(watchview.View().of(RELEASE))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("version 2 -> 3", "10 %", "seen 10.1 %", "1,900", "15.8 of 250", "2 against 3", "stays at 10 %"):
        assert part in shown
    assert "██████████░░░░░░░░░░" in shown  # log 15.8 of log 250 is a half


def test_a_release_without_evidence_is_shown_too() -> None:
    console = Console(file=io.StringIO(), width=110)
    console.print(watchview.View().of(pb.Release(model="models/m", state=pb.Release.STATE_DEPLOYING)))
    assert "deploying" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_curve() -> None:
    assert watchview.spark([0, 0.5, 1, 2]) == "▁▅██"
