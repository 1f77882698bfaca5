from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from bmase import policies
from bmase.monitor.v1 import evidence_pb2
from bmase.patcher.v1 import release_pb2 as pb

from services.kit.decode import decode
from services.kit.errors import InvalidArgument
from services.patcher.releases import requests as rq
from services.patcher.releases.policy import Judge, Policy
from services.patcher.releases.report import policy_message
from services.patcher.releases.state import WHOLE, Phase, Release


def asked(policy: pb.ReleasePolicy | None = None, candidate: str = "2", **fields: object) -> pb.CreateReleaseRequest:
    release = pb.Release(model="models/digits", policy=policy or pb.ReleasePolicy())
    return pb.CreateReleaseRequest(release=release, candidate=candidate, **fields)  # type: ignore[arg-type]


def test_the_policy_in_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "guides" / "releases.md").read_text()
    [text] = re.findall(r"^```toml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    policy = decode(rq.Create, asked(policies.parse(tomllib.loads(text)))).release.policy
    shown = policy.model_copy(update={"steps": Policy().steps, "webhooks": ()})
    assert shown == Policy(judge=Judge(burst=1.0))
    assert policy.steps[0].model_copy(update={"max_time": 0.0}) == Policy().steps[0]


def refused(request: pb.CreateReleaseRequest) -> list[str]:
    with pytest.raises(InvalidArgument) as caught:
        decode(rq.Create, request)
    return [violation.field for violation in caught.value.violations]


def test_the_defaults() -> None:
    policy = decode(rq.Create, asked()).release.policy
    assert policy == Policy()
    assert [step.percent for step in policy.steps] == [1, 5, 25, 50, 100]
    assert {(step.min_requests, step.min_time, step.max_time, step.gate) for step in policy.steps} == {
        (100, 30.0, 0.0, False)
    }
    assert (policy.shadow_samples, policy.keep, policy.keep_old, policy.webhooks) == (200, 3600.0, False, ())
    assert not policy.rolls_back_late


def test_a_policy_survives_being_said_and_kept() -> None:
    message = pb.ReleasePolicy(
        shadow_samples=-1,
        keep_old=True,
        keep_candidate=True,
        on_timeout=pb.ReleasePolicy.ON_TIMEOUT_ROLLBACK,
        replicas=3,
        judge=evidence_pb2.JudgePolicy(alpha=0.001, margin=0.05, ignore_slow=True),
        webhooks=[pb.Webhook(url="https://ci.example/hook?key=1", gate=True)],
        steps=[pb.Step(percent=0.5, min_requests=-1, gate=True), pb.Step(percent=100)],
    )
    message.keep.FromSeconds(0)
    message.judge.burst.FromMilliseconds(1500)
    message.steps[0].min_time.FromSeconds(0)
    message.steps[0].max_time.FromSeconds(90)
    policy = decode(rq.Create, asked(message)).release.policy
    assert (policy.keep, policy.steps[0].min_time, policy.steps[0].min_requests) == (0.0, 0.0, -1)
    assert (policy.steps[1].min_time, policy.judge.burst) == (30.0, 1.5)
    assert Policy.model_validate_json(policy.model_dump_json()) == policy
    said = policy_message(policy)
    for told, hook in zip(said.webhooks, policy.webhooks, strict=True):
        told.url = hook.url  # it is shown without what may be secret
    assert decode(rq.Create, asked(said)).release.policy == policy
    assert policy.webhooks[0].host == "ci.example"


@pytest.mark.parametrize(
    "percents", [(5, 50), (50, 5, 100), (5, 5, 100), (0, 100), (-1, 100), (100, 100), (5, 101), (float("nan"), 100)]
)
def test_steps_rise_and_end_at_all(percents: tuple[float, ...]) -> None:
    fields = refused(asked(pb.ReleasePolicy(steps=[pb.Step(percent=percent) for percent in percents])))
    assert all(field.startswith("release.policy.steps") for field in fields)


@pytest.mark.parametrize("url", ["", "ftp://h/x", "http://", "http:///x", "file:///etc/passwd", "http://h/a b", "h/x"])
def test_webhooks_are_web_addresses(url: str) -> None:
    assert refused(asked(pb.ReleasePolicy(webhooks=[pb.Webhook(url=url)]))) == ["release.policy.webhooks[0].url"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = pb.ReleasePolicy(shadow_samples=-2, replicas=101, judge=evidence_pb2.JudgePolicy(alpha=0.6, margin=2))
    wrong.on_timeout = 9  # type: ignore[assignment]
    wrong.keep.FromSeconds(31 * 86400)
    fields = refused(asked(wrong, candidate="No", request_id="?"))
    names = ("shadow_samples", "replicas", "judge.alpha", "judge.margin", "on_timeout", "keep")
    assert set(fields) == {"candidate", "request_id", *(f"release.policy.{name}" for name in names)}


@pytest.mark.parametrize("candidate", ["7", "latest", "stable", "canary-2"])
def test_candidates(candidate: str) -> None:
    assert decode(rq.Create, asked(candidate=candidate)).version == candidate


def test_the_number_in_the_release_counts_when_no_other_is_named() -> None:
    request = asked(candidate="")
    assert decode(rq.Create, request).version == ""
    request.release.candidate = 4
    assert decode(rq.Create, request).version == "4"
    request.candidate = "latest"
    assert decode(rq.Create, request).version == "latest"


@pytest.mark.parametrize("name", ["", "r-1", "releases/", "releases/A", "releases/../x", "releases/a/b", "releases/-"])
def test_names_of_releases(name: str) -> None:
    with pytest.raises(InvalidArgument):
        decode(rq.Named, pb.GetReleaseRequest(name=name))


@pytest.mark.parametrize("token", ["x", "after:", "after:-1", "after:1x"])
def test_tokens_are_the_lists_own(token: str) -> None:
    with pytest.raises(Exception, match="page_token"):
        rq.line_start(token)
    assert rq.line_start(rq.line_token(7)) == 7
    assert rq.page_start(rq.page_token(1.25, "r-1")) == (1.25, "r-1")


@pytest.mark.parametrize("percent", [0.001, 0.1, 1, 33.333, 99.999])
def test_weights_always_add_up_to_the_same(percent: float) -> None:
    policy = Policy.model_validate({"steps": [{"percent": percent}, {"percent": 100}]})
    release = Release("r1", "digits", 2, 1, policy, Phase.STEPPING, step=0)
    assert sum(release.weights.values()) == WHOLE
    assert 0 < release.weights[2] < WHOLE


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/T0/B1/secret?token=x", "https://hooks.example/..."),
        ("http://me:secret@hooks.example:8080/x", "http://hooks.example:8080/..."),
        ("http://[::1]:80", "http://[::1]:80/..."),
    ],
)
def test_readers_of_a_release_learn_no_secret_of_its_webhooks(url: str, shown: str) -> None:
    policy = Policy.model_validate({"webhooks": [{"url": url}]})
    assert [hook.url for hook in policy_message(policy).webhooks] == [shown]


def test_a_webhook_as_it_is_shown_is_no_webhook() -> None:
    with pytest.raises(InvalidArgument, match="whole"):
        decode(rq.Create, asked(pb.ReleasePolicy(webhooks=[pb.Webhook(url="https://hooks.example/...")])))
