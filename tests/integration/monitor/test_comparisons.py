"""Comparisons on real traffic: through Envoy, its counters and its log, to a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import pytest
from bmase.monitor.v1 import evidence_pb2
from bmase.monitor.v1 import monitor_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.gateway import Platform, eventually
from tests.support.monitor import Crowd, Monitor, behave

MODEL = "lin"
HOLD, PROMOTE, ROLLBACK = (
    evidence_pb2.Evidence.VERDICT_HOLD,
    evidence_pb2.Evidence.VERDICT_PROMOTE,
    evidence_pb2.Evidence.VERDICT_ROLLBACK,
)


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


def known(monitor: Monitor, name: str) -> None:
    """Waits until the weights are known for certain, so that requests are judged from now on."""
    eventually(lambda: monitor.evidence(name).declared_share > 0, "the weights are known")


def counted(monitor: Monitor, name: str) -> int:
    said = monitor.evidence(name)
    return int(said.stable.requests + said.candidate.requests)


def errors(monitor: Monitor, name: str) -> int:
    said = monitor.evidence(name)
    return int(said.stable.errors + said.candidate.errors)


def test_a_version_that_fails_is_found_within_seconds(platform: Platform, monitor: Monitor) -> None:
    monitor.compare("failing", MODEL)
    with Crowd(platform.gateway.address, MODEL) as crowd, monitor.stub() as stub:
        known(monitor, "failing")
        crowd.wait(200)
        healthy = monitor.evidence("failing")
        assert healthy.verdict == HOLD
        assert healthy.stable.errors == healthy.candidate.errors == 0
        behave(platform, MODEL, {2: {"fail": 0.5}})
        begun = time.monotonic()
        watch = stub.WatchComparison(pb.WatchComparisonRequest(name="comparisons/failing"), timeout=30)
        found = next(seen for seen in watch if seen.evidence.verdict == ROLLBACK)
        watch.cancel()
    assert time.monotonic() - begun < 10
    said = found.evidence
    assert said.reason == "BAD_ERRORS"
    assert said.suspicions[0].candidate_events >= 3
    assert said.suspicions[0].evidence >= said.suspicions[0].limit
    assert said.lost_events == 0
    assert monitor.end("failing").state == pb.Comparison.STATE_ENDED


def test_numbers_are_those_of_the_traffic(platform: Platform, monitor: Monitor) -> None:
    monitor.compare("numbers", MODEL, ignore_slow=True)
    known(monitor, "numbers")
    with Crowd(platform.gateway.address, MODEL, rate=100) as crowd:
        time.sleep(3.5)  # until gateways report bad requests for certain
        behave(platform, MODEL, {1: {"fail": 0.1}, 2: {"fail": 0.1}})
        crowd.wait(300)
    failed = crowd.answered[0, "INTERNAL"]
    eventually(lambda: counted(monitor, "numbers") == crowd.sent, f"all of {crowd.answered} are counted")
    assert failed > 10
    eventually(lambda: errors(monitor, "numbers") == failed, f"all {failed} failures are told")
    said = monitor.evidence("numbers")
    assert 0.03 < said.candidate.requests / crowd.sent < 0.2
    assert said.declared_share == pytest.approx(0.1)
    assert said.split_evidence < 100
    assert said.lost_events == 0
    monitor.end("numbers")


def test_a_slow_version_is_found_by_the_threshold_of_the_start(platform: Platform, monitor: Monitor) -> None:
    with Crowd(platform.gateway.address, MODEL, rate=100) as crowd:
        platform.gateway.set_route(MODEL, {1: 100})
        crowd.wait(400)
        platform.gateway.set_route(MODEL, {1: 80, 2: 20})
        started = monitor.compare("slow", MODEL)
        threshold = started.evidence.slow_ms
        assert threshold >= 5
        known(monitor, "slow")
        behave(platform, MODEL, {2: {"sleep": threshold / 1000 + 0.05}})
        eventually(lambda: monitor.evidence("slow").verdict == ROLLBACK, "the slow one is found", timeout=20)
    said = monitor.end("slow").evidence
    assert said.reason == "BAD_SLOW"
    assert said.slow_ms == threshold


def test_gateways_report_only_while_a_comparison_runs(platform: Platform, monitor: Monitor) -> None:
    assert not (platform.get(f"bmase/captures/{MODEL}") or {}).get("judged", False)
    monitor.compare("captured", MODEL, slow_ms=123)
    document = platform.get(f"bmase/captures/{MODEL}")
    assert document is not None
    assert (document["judged"], document["slow_ms"]) == (True, 123)
    monitor.end("captured")
    assert not (platform.get(f"bmase/captures/{MODEL}") or {}).get("judged", False)


def test_starting_again_is_the_same_and_something_else_is_refused(platform: Platform, monitor: Monitor) -> None:
    first = monitor.compare("again", MODEL, margin=0.05)
    assert monitor.compare("again", MODEL, margin=0.05).start_time == first.start_time
    assert reason_of(lambda: monitor.compare("again", MODEL, margin=0.06)) == "COMPARISON_EXISTS"
    assert reason_of(lambda: monitor.get("nothing")) == "COMPARISON_NOT_FOUND"
    ended = monitor.end("again")
    assert monitor.end("again").end_time == ended.end_time
    assert monitor.compare("again", MODEL, margin=0.05).state == pb.Comparison.STATE_ENDED


def test_a_new_comparison_of_a_model_ends_the_old_one_and_its_watches(platform: Platform, monitor: Monitor) -> None:
    monitor.compare("old", MODEL)
    with monitor.stub() as stub:
        watch = stub.WatchComparison(pb.WatchComparisonRequest(name="comparisons/old"), timeout=20)
        assert next(watch).state == pb.Comparison.STATE_RUNNING
        monitor.compare("new", MODEL)
        assert [seen.state for seen in watch][-1] == pb.Comparison.STATE_ENDED
        listed = stub.ListComparisons(pb.ListComparisonsRequest(model=f"models/{MODEL}", page_size=2), timeout=5)
        assert [found.name for found in listed.comparisons] == ["comparisons/new", "comparisons/old"]
        if listed.next_page_token:
            request = pb.ListComparisonsRequest(model=f"models/{MODEL}", page_token=listed.next_page_token)
            names = [found.name for found in stub.ListComparisons(request, timeout=5).comparisons]
            assert not {"comparisons/new", "comparisons/old"} & set(names)
        assert not stub.ListComparisons(pb.ListComparisonsRequest(model="models/other"), timeout=5).comparisons
    monitor.end("new")


def test_it_answers_at_the_gateway_too(platform: Platform, monitor: Monitor) -> None:
    import requests  # noqa: PLC0415 - only here

    monitor.compare("rest", MODEL)
    eventually(
        lambda: (
            requests.get(f"http://{platform.gateway.address}/api/v1/comparisons/rest", timeout=5).json()["model"]
            == f"models/{MODEL}"
        ),
        "the monitor is found",
    )
    assert requests.get(f"http://{platform.gateway.address}/api/v1/comparisons/none", timeout=5).status_code == 404
    monitor.end("rest")
