"""Policy files: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from bmase import policies
from bmase.errors import InvalidArgument
from bmase.patcher.v1 import release_pb2 as pb

TEXT = """
shadow_samples = 50
keep = "2h"
on_timeout = "rollback"

[judge]
alpha = 0.005
burst = "500ms"

[[steps]]
percent = 5
min_requests = 500
min_time = "1.5m"

[[steps]]
percent = 100
gate = true

[[webhooks]]
url = "http://127.0.0.1:9/hook"
timeout = 3
"""


def test_a_file_becomes_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(TEXT)
    policy = policies.load(file)
    assert policy.keep.seconds == 7200
    assert policy.on_timeout == pb.ReleasePolicy.ON_TIMEOUT_ROLLBACK
    assert policy.judge.alpha == 0.005
    assert policy.judge.burst.nanos == 500_000_000
    assert [(s.percent, s.min_requests, s.min_time.seconds, s.gate) for s in policy.steps] == [
        (5, 500, 90, False),
        (100, 0, 0, True),
    ]
    assert policy.webhooks[0].timeout.seconds == 3


def test_json_is_understood_too(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"steps": [{"percent": 100}], "keep_old": true}')
    assert policies.load(file) == pb.ReleasePolicy(steps=[pb.Step(percent=100)], keep_old=True)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("keep = 'long'", "keep", "is not a time"),
        ("keep = true", "keep", "is not a time"),
        ("stepps = []", "stepps", "known are"),
        ("steps = 3", "steps", "is not a list"),
        ("[[steps]]\npercent = 'ten'", "policy", "percent"),
        ("[[steps]]\nper_cent = 10", "steps[0].per_cent", "known are"),
        ("on_timeout = 'explode'", "on_timeout", "is not one of hold, rollback"),
        ("judge = 1", "judge", "is not a table"),
        ("= broken", "policy.toml", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, field: str, words: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument) as refused:
        policies.load(file)
    assert refused.value.violations[0].field.endswith(field)
    assert words in str(refused.value)


def test_steps_alone() -> None:
    assert [step.percent for step in policies.percents("1, 10,100").steps] == [1, 10, 100]
    with pytest.raises(InvalidArgument, match="not a percentage"):
        policies.percents("1,ten")
