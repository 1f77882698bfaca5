"""Reports and pictures of a release."""

from __future__ import annotations

from bmase import plots, reports
from bmase.monitor.v1 import evidence_pb2 as ev
from bmase.monitor.v1 import monitor_pb2
from bmase.patcher.v1 import release_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

PNG = b"\x89PNG"


def event(second: int, kind: str, percent: float, evidence: float) -> pb.ReleaseEvent:
    against = ev.Suspicion(kind=ev.Suspicion.KIND_ERRORS, evidence=evidence, limit=250, candidate_events=3)
    return pb.ReleaseEvent(
        time=Timestamp(seconds=1_800_000_000 + second),
        kind=kind,
        percent=percent,
        message=f"{kind} <b>|</b>",
        actor="controller",
        evidence=ev.Evidence(suspicions=[against]),
    )


EVENTS = [event(0, "created", 0, 1), event(5, "step", 10, 0.8), event(9, "rollback", 0, 900)]
RELEASE = pb.Release(
    name="releases/r-1",
    model="models/digits",
    stable=2,
    candidate=3,
    state=pb.Release.STATE_ROLLED_BACK,
    message="version 3 failed 14 of 212 requests",
    evidence=ev.Evidence(
        stable=ev.Arm(version=2, requests=1900, errors=3),
        candidate=ev.Arm(version=3, requests=212, errors=14),
        suspicions=EVENTS[-1].evidence.suspicions,
    ),
)


def test_markdown_has_the_verdict_the_numbers_and_the_history() -> None:
    text = reports.markdown(RELEASE, EVENTS, "release.png")
    assert text.startswith("# digits: version 2 to 3 (r-1)")
    assert "**Rolled back.** version 3 failed 14 of 212 requests" in text
    assert "![traffic and evidence over time](release.png)" in text
    assert "| candidate, version 3 | 212 | 14 |" in text
    assert "| errors | 900 | 250 | 3 |" in text
    assert "rollback <b>\\|</b>" in text


def test_html_is_one_file_and_escapes_what_it_was_told() -> None:
    page = reports.webpage(RELEASE, EVENTS)
    assert "data:image/png;base64," in page
    assert "rollback &lt;b&gt;|&lt;/b&gt;" in page
    assert "<b>|" not in page


def test_pictures() -> None:
    assert plots.release(EVENTS).startswith(PNG)
    moved = monitor_pb2.FeatureDrift(
        feature="input/x[0]", ks=0.4, threshold=0.1, drifted=True, reference_quantiles=[0, 1, 2], live_quantiles=[1, 2]
    )
    assert plots.drift(monitor_pb2.DriftReport(features=[moved])).startswith(PNG)
    assert plots.distributions(moved).startswith(PNG)
    shares = monitor_pb2.FeatureDrift(feature="label", reference_shares={"a": 0.5}, live_shares={"b": 1.0})
    assert plots.distributions(shares).startswith(PNG)
