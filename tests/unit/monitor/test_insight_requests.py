"""Calls about samples are bounded before anything is done; the refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.decode import decode
from services.kit.errors import InvalidArgument
from services.monitor import insight_requests as rq


def capture(**change: Any) -> pb.UpdateCaptureRequest:
    return pb.UpdateCaptureRequest(capture=pb.Capture(**{"name": "captures/digits", "percent": 1.0, **change}))


def outcomes(**change: Any) -> pb.ReportOutcomesRequest:
    found = {"request_id": "r", "label": "7", **change}
    return pb.ReportOutcomesRequest(model="models/digits", outcomes=[pb.Outcome(**found)])


@pytest.mark.parametrize(
    ("kind", "request_", "field"),
    [
        (rq.UpdateCapture, pb.UpdateCaptureRequest(), "capture"),
        (rq.UpdateCapture, capture(name="digits"), "capture.name"),
        (rq.UpdateCapture, capture(name="captures/../etc"), "capture.name"),
        (rq.UpdateCapture, capture(percent=100.1), "capture.percent"),
        (rq.UpdateCapture, capture(percent=float("nan")), "capture.percent"),
        (rq.UpdateCapture, capture(percent=-1), "capture.percent"),
        (rq.UpdateCapture, capture(redacted=[""]), "capture.redacted[0]"),
        (rq.UpdateCapture, capture(redacted=["x"] * 65), "capture.redacted"),
        (rq.UpdateCapture, capture(retention=Duration(seconds=-1)), "capture.retention"),
        (rq.UpdateCapture, capture(retention=Duration(seconds=10**9)), "capture.retention"),
        (rq.UpdateCapture, capture(max_bytes=-1), "capture.max_bytes"),
        (rq.GetCapture, pb.GetCaptureRequest(name="captures/"), "name"),
        (rq.ListSamples, pb.ListSamplesRequest(), "model"),
        (rq.ListSamples, pb.ListSamplesRequest(model="models/digits", version=-1), "version"),
        (rq.ListSamples, pb.ListSamplesRequest(model="models/digits", page_size=-1), "page_size"),
        (rq.ReportOutcomes, pb.ReportOutcomesRequest(model="models/digits"), "outcomes"),
        (rq.ReportOutcomes, outcomes(request_id=""), "outcomes[0].request_id"),
        (rq.ReportOutcomes, outcomes(request_id="a\nb"), "outcomes[0].request_id"),
        (rq.ReportOutcomes, outcomes(label="x" * 257), "outcomes[0].label"),
        (rq.ReportOutcomes, outcomes(score=1.1), "outcomes[0].score"),
        (rq.ReportOutcomes, outcomes(version=-1), "outcomes[0].version"),
        (rq.ReplaySamples, pb.ReplaySamplesRequest(model="models/digits", stable=1), "candidate"),
        (rq.ReplaySamples, pb.ReplaySamplesRequest(model="m", stable=1, candidate=2), "model"),
        (rq.ReplaySamples, pb.ReplaySamplesRequest(model="models/m", stable=1, candidate=2, count=10_001), "count"),
        (rq.ReplaySamples, pb.ReplaySamplesRequest(model="models/m", stable=1, candidate=2, tolerance=2), "tolerance"),
        (rq.CompareVersions, pb.CompareVersionsRequest(model="models/m", stable=1, candidate=1), ""),
        (rq.GetDrift, pb.GetDriftRequest(name="models/m/versions/0"), "name"),
        (rq.GetDrift, pb.GetDriftRequest(name="models/m/versions/1", limit=-1), "limit"),
    ],
)
def test_a_broken_bound_is_named(kind: Any, request_: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(kind, request_)
    assert field in [violation.field for violation in refused.value.violations]


def test_settings_are_as_they_were_sent() -> None:
    asked = capture(percent=5, redacted=["b", "a", "b"], retention=Duration(seconds=90), label_output="digit")
    settings = decode(rq.UpdateCapture, asked).capture.settings()
    assert settings.model_dump() == {
        "percent": 5.0,
        "opt_out": False,
        "redacted": ("a", "b"),
        "retention": 90.0,
        "max_bytes": 0,
        "label_output": "digit",
        "revision": 0,
    }


def test_no_outcome_was_known_in_the_future() -> None:
    asked = decode(rq.ReportOutcomes, outcomes(time=Timestamp(seconds=2_000))).outcomes[0]
    assert asked.given(1_000.0).time == 1_000.0
    assert asked.given(3_000.0).time == 2_000.0
    assert decode(rq.ReportOutcomes, outcomes()).outcomes[0].given(7.0).time == 7.0
