"""Bounds of the calls about comparisons."""

from __future__ import annotations

import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason
from google.protobuf.duration_pb2 import Duration

from services.kit.decode import decode
from services.kit.errors import DomainError, InvalidArgument
from services.monitor import requests as rq


def start(**changes: object) -> pb.StartComparisonRequest:
    fields: dict[str, object] = {
        "name": "comparisons/r1",
        "model": "models/lin",
        "stable": 1,
        "candidate": 2,
        **changes,
    }
    policy = fields.pop("policy", {})
    made = pb.StartComparisonRequest(comparison=pb.Comparison(**fields))  # type: ignore[arg-type]
    made.comparison.policy.MergeFrom(type(made.comparison.policy)(**policy))  # type: ignore[arg-type]
    return made


def test_a_good_one_is_read_and_kept() -> None:
    read = decode(rq.Start, start(policy={"margin": 0.05, "burst": Duration(seconds=2)})).comparison
    assert (read.name, read.model.model, read.stable, read.candidate) == ("r1", "lin", 1, 2)
    assert (read.policy.margin, read.policy.burst.total_seconds()) == (0.05, 2.0)
    assert rq.NewComparison.model_validate(read.to_json()) == read


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "r1"}, "comparison.name"),
        ({"name": "comparisons/../x"}, "comparison.name"),
        ({"model": "lin"}, "comparison.model"),
        ({"stable": 0}, "comparison.stable"),
        ({"candidate": 2**31}, "comparison.candidate"),
        ({"candidate": 1}, "comparison"),
        ({"policy": {"alpha": 0.9}}, "comparison.policy.alpha"),
        ({"policy": {"margin": -0.1}}, "comparison.policy.margin"),
        ({"policy": {"margin": float("nan")}}, "comparison.policy.margin"),
        ({"policy": {"slow_ms": float("inf")}}, "comparison.policy.slow_ms"),
        ({"policy": {"burst": Duration(seconds=-1)}}, "comparison.policy.burst"),
    ],
)
def test_broken_bounds_name_their_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(rq.Start, start(**changes))
    assert [violation.field for violation in refused.value.violations] == [field]


def test_page_tokens_go_there_and_back() -> None:
    assert rq.page_start(rq.page_token(1234.5678, "r-1")) == (1234.5678, "r-1")
    assert rq.page_start("") is None
    for wrong in ("?", "aGVsbG8=", "bm90L2EvdG9rZW4="):
        with pytest.raises(DomainError) as refused:
            rq.page_start(wrong)
        assert refused.value.reason is Reason.PAGE_TOKEN_INVALID
