"""What judging survives: restarts of Envoy, of the monitor, of Consul; and that only one monitor acts."""

from __future__ import annotations

import time

import pytest
import tritonclient.grpc
from bmase.monitor.v1 import evidence_pb2

from tests.support.gateway import Gateway, Platform, eventually
from tests.support.monitor import Crowd, Monitor, behave

MODEL = "lin"
ROLLBACK = evidence_pb2.Evidence.VERDICT_ROLLBACK


@pytest.fixture
def leading(platform: Platform, monitor: Monitor) -> Monitor:
    """The monitor, started again if a test killed it."""
    if not monitor.process.alive:
        monitor.start()
    return monitor.lead()


def counted(monitor: Monitor, name: str) -> int:
    said = monitor.evidence(name)
    return int(said.stable.requests + said.candidate.requests)


def test_a_restarted_envoy_loses_no_count_and_invents_none(platform: Platform, leading: Monitor) -> None:
    leading.compare("reset", MODEL)
    time.sleep(1.5)
    with Crowd(platform.gateway.address, MODEL) as crowd:
        crowd.wait(120)
    eventually(lambda: counted(leading, "reset") == crowd.sent, "all is counted")
    platform.gateway.envoy.kill()
    platform.gateway.start_envoy()
    with Crowd(platform.gateway.address, MODEL) as later:
        later.wait(120)
    answered = crowd.sent + later.ok
    eventually(lambda: counted(leading, "reset") >= answered, "the new life is counted from zero")
    assert counted(leading, "reset") <= crowd.sent + later.sent
    assert leading.evidence("reset").infra_events > 0
    leading.end("reset")


def test_a_hung_envoy_is_no_news_and_loses_no_count(platform: Platform, leading: Monitor) -> None:
    leading.compare("hung", MODEL)
    time.sleep(1.5)
    with Crowd(platform.gateway.address, MODEL) as crowd:
        crowd.wait(120)
    eventually(lambda: counted(leading, "hung") == crowd.sent, "all is counted")
    platform.gateway.envoy.suspend()
    try:
        eventually(lambda: leading.evidence("hung").infra_events == 1, "its silence is noticed", timeout=15)
        eventually(lambda: leading.evidence("hung").reason == "STALE", "nothing is invented", timeout=15)
    finally:
        platform.gateway.envoy.resume()
    with Crowd(platform.gateway.address, MODEL) as later:
        later.wait(60)
    eventually(lambda: counted(leading, "hung") == crowd.sent + later.sent, "all is counted again")
    leading.end("hung")


def test_a_lost_node_is_infra_and_a_wiped_key_of_another_model_is_not(platform: Platform, leading: Monitor) -> None:
    leading.compare("lost-node", MODEL)
    for model in (MODEL, "other"):
        status = {"model": model, "version": 2, "digest": "", "state": "ready"}
        platform.put(f"bmase/nodes/green/status/{model}", status)
    eventually(lambda: leading.evidence("lost-node").declared_share > 0, "it looks")
    time.sleep(0.5)
    platform.delete("bmase/nodes/green/status/other")
    platform.put(f"bmase/nodes/green/status/{MODEL}", {"model": MODEL, "version": 2, "digest": "", "state": "ready"})
    time.sleep(1.5)
    assert leading.evidence("lost-node").infra_events == 0
    platform.delete(f"bmase/nodes/green/status/{MODEL}")
    eventually(lambda: leading.evidence("lost-node").infra_events == 1, "the loss is seen")
    assert leading.evidence("lost-node").reason == "INFRA"
    assert leading.evidence("lost-node").infra_until.seconds > time.time()
    leading.end("lost-node")


def test_two_gateways_are_one_traffic(platform: Platform, leading: Monitor) -> None:
    second = Gateway(platform.folder, platform.consul, "second-gateway")
    try:
        second.start()
        with tritonclient.grpc.InferenceServerClient(second.address) as client:
            eventually(lambda: client.is_model_ready(MODEL, "2"), "the second one serves")
        leading.compare("two", MODEL)
        eventually(lambda: leading.evidence("two").declared_share > 0, "weights are known")
        time.sleep(1.5)
        with Crowd(platform.gateway.address, MODEL) as one, Crowd(second.address, MODEL, clients="other") as two:
            time.sleep(3)
            behave(platform, MODEL, {2: {"fail": 1.0}})
            eventually(lambda: leading.evidence("two").verdict == ROLLBACK, "both tell", timeout=20)
        eventually(lambda: counted(leading, "two") == one.sent + two.sent, "both are counted")
        assert leading.end("two").evidence.lost_events == 0
    finally:
        second.close()
        platform.delete("bmase/gateways/second-gateway")


def test_a_killed_monitor_goes_on_with_its_evidence(platform: Platform, leading: Monitor) -> None:
    behave(platform, MODEL, {2: {"fail": 0.05}})
    leading.compare("killed", MODEL, alpha=1e-9)  # so strict that nothing is decided meanwhile
    with Crowd(platform.gateway.address, MODEL, rate=100) as crowd:
        eventually(lambda: leading.evidence("killed").suspicions[0].candidate_events >= 2, "evidence", timeout=30)
        time.sleep(1.5)
        before = leading.evidence("killed")
        leading.process.kill()
        crowd.wait(50)
        leading.start().lead()
        after = leading.get("killed")
        assert after.evidence.suspicions[0].candidate_events >= before.suspicions[0].candidate_events
        assert after.evidence.suspicions[0].evidence >= before.suspicions[0].evidence / 2
        assert after.start_time == leading.get("killed").start_time
    eventually(lambda: counted(leading, "killed") >= crowd.sent - 100, "what happened meanwhile is counted")
    assert leading.evidence("killed").lost_events >= 0
    behave(platform, MODEL, {2: {"fail": 1.0}})
    with Crowd(platform.gateway.address, MODEL, rate=100, clients="later"):
        eventually(lambda: leading.evidence("killed").verdict == ROLLBACK, "it still judges", timeout=40)
    leading.end("killed")


def test_a_wiped_consul_ends_nothing(platform: Platform, leading: Monitor) -> None:
    leading.compare("wiped", MODEL)
    with Crowd(platform.gateway.address, MODEL) as crowd:
        crowd.wait(100)
        platform.consul.wipe()
        platform.introduce()
        platform.publish_placement(MODEL)
        eventually(lambda: leading.serves and leading.get("wiped").state == 1, "it leads again", timeout=60)
        eventually(lambda: (platform.get(f"bmase/captures/{MODEL}") or {}).get("judged"), "captures are back", 30)
        behave(platform, MODEL, {2: {"fail": 1.0}})
        eventually(lambda: leading.evidence("wiped").verdict == ROLLBACK, "it judges", timeout=40)
    leading.end("wiped")


def test_two_monitors_one_acts(platform: Platform, leading: Monitor) -> None:
    other = Monitor(platform.folder, platform.consul, "second")
    try:
        other.start()
        time.sleep(4)
        assert not other.serves
        leading.process.stop()
        other.lead()
        eventually(lambda: other.compare("taken-over", MODEL).name, "the other one acts")
        other.end("taken-over")
    finally:
        other.process.stop()
    leading.start().lead()


def test_a_dead_node_is_not_held_against_its_version_at_once(platform: Platform, leading: Monitor) -> None:
    leading.compare("dead", MODEL)
    eventually(lambda: leading.evidence("dead").declared_share > 0, "weights are known")
    green = platform.nodes["green"]
    with Crowd(platform.gateway.address, MODEL) as crowd:
        crowd.wait(200)
        green.process.kill()
        try:
            eventually(lambda: leading.evidence("dead").infra_events >= 20, "requests reach no node", timeout=20)
            said = leading.evidence("dead")
        finally:
            green.start([MODEL])
    assert said.verdict == evidence_pb2.Evidence.VERDICT_HOLD
    assert said.suspicions[0].candidate_raw <= 5  # those that were on the node when it died; the others only count
    leading.end("dead")


def test_a_leader_that_hung_finds_another_in_its_place_and_steps_back(platform: Platform, leading: Monitor) -> None:
    other = Monitor(platform.folder, platform.consul, "heir")
    try:
        other.start()
        leading.compare("hung-leader", MODEL)
        leading.process.suspend()
        try:
            other.lead()
            eventually(lambda: other.compare("hung-leader", MODEL).state == 1, "the heir judges")
        finally:
            leading.process.resume()
        eventually(lambda: not leading.serves, "the first one steps back", timeout=20)
        assert other.get("hung-leader").state == 1
        other.process.stop()
        leading.lead()
        eventually(lambda: leading.get("hung-leader").state == 1, "what it kept goes on")
        leading.end("hung-leader")
    finally:
        other.process.stop()
