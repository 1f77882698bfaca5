"""What is asked about samples and outcomes, of the whole program and through the gateway."""

from __future__ import annotations

import urllib.request

import grpc
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.monitor.v1 import monitor_pb2_grpc

from tests.support.gateway import Platform, eventually
from tests.support.monitor import Crowd, Monitor

MODEL = "lin"


def test_wrong_outcomes_roll_a_version_back(platform: Platform, monitor: Monitor) -> None:
    monitor.compare("wrong", MODEL)
    eventually(lambda: monitor.evidence("wrong").declared_share > 0, "the weights are known")
    with Crowd(platform.gateway.address, MODEL) as crowd, monitor.stub() as stub:
        crowd.wait(100)
        eventually(lambda: monitor.evidence("wrong").candidate.requests > 0, "traffic is seen")

        def report(number: int, version: int, label: str) -> None:
            outcome = pb.Outcome(request_id=f"o-{number}", label=label, version=version, prediction="7")
            asked = pb.ReportOutcomesRequest(model=f"models/{MODEL}", outcomes=[outcome])
            assert stub.ReportOutcomes(asked, timeout=5).joined == 1

        for number in range(0, 60, 2):
            report(number, 1, "7")
            report(number + 1, 2, "4")
            # Weights have been the same for long enough only a moment after the start.
        number = 60
        while monitor.evidence("wrong").reason != "BAD_OUTCOMES":
            report(number, 2, "4")
            number += 1
            assert number < 400
    said = monitor.end("wrong").evidence
    assert said.stable.outcomes == 30
    assert said.stable.wrong == 0
    assert said.candidate.wrong == said.candidate.outcomes == number - 30


def test_samples_are_shown_and_versions_compared_at_the_gateway(platform: Platform, monitor: Monitor) -> None:
    with grpc.insecure_channel(platform.gateway.address) as channel:
        stub = monitor_pb2_grpc.MonitorServiceStub(channel)
        eventually(
            lambda: stub.GetCapture(pb.GetCaptureRequest(name=f"captures/{MODEL}"), timeout=5).percent > 0, "served"
        )
        capture = pb.Capture(name=f"captures/{MODEL}", percent=100)
        assert stub.UpdateCapture(pb.UpdateCaptureRequest(capture=capture), timeout=5).percent == 100
        with Crowd(platform.gateway.address, MODEL) as crowd:
            crowd.wait(60)
            listing = pb.ListSamplesRequest(model=f"models/{MODEL}", page_size=5)
            eventually(lambda: len(stub.ListSamples(listing, timeout=5).samples) == 5, "samples are kept", timeout=30)
        sample = stub.ListSamples(listing, timeout=5).samples[0]
        assert sample.client.startswith("client-")
        assert sample.version in (1, 2)
        compared = stub.CompareVersions(
            pb.CompareVersionsRequest(model=f"models/{MODEL}", stable=1, candidate=2), timeout=5
        )
        assert compared.stable.requests > compared.candidate.requests > 0
        assert compared.stable.p99_ms > 0
    monitor_capture = pb.Capture(name=f"captures/{MODEL}", percent=0)
    with monitor.stub() as own:
        own.UpdateCapture(pb.UpdateCaptureRequest(capture=monitor_capture), timeout=5)


@pytest.mark.parametrize("name", ["bmase_monitor_leading 1.0", "bmase_monitor_scrape_seconds", "bmase_monitor_samples"])
def test_prometheus_can_read_it(monitor: Monitor, name: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor.metrics_port}/metrics", timeout=5) as page:
        assert name in page.read().decode()


def test_a_running_comparison_has_numbers_for_prometheus(platform: Platform, monitor: Monitor) -> None:
    monitor.compare("shown", MODEL)
    eventually(lambda: monitor.evidence("shown").declared_share > 0, "the weights are known")
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor.metrics_port}/metrics", timeout=5) as page:
        text = page.read().decode()
    assert f'bmase_comparison_share{{model="{MODEL}",what="declared"}} 0.1' in text
    assert f'bmase_comparison_evidence{{kind="errors",model="{MODEL}"}} 1.0' in text
    assert f'bmase_comparison_verdict{{model="{MODEL}"}} 0.0' in text
    monitor.end("shown")
