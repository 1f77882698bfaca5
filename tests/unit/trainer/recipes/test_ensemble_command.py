"""`bmase ensemble create` asks for what the recipe takes."""

from __future__ import annotations

from typing import Any

import pytest
from bmase.cli import app, ensembles
from bmase.trainer.v1 import trainer_pb2 as pb
from google.protobuf.json_format import MessageToDict

from services.kit.decode import decode
from services.trainer.jobs.requests import Create
from services.trainer.recipes.catalogue import by_name

WORDS = ["ensemble", "create", "digits", "digits@2", "digits@stable", "--data", "s3://bucket/rows", "--target", "label"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[pb.Job]:
    found: list[pb.Job] = []
    monkeypatch.setattr(ensembles, "begin", lambda _, wanted, *, detach, logs: found.append(wanted))
    return found


def parameters(job: pb.Job) -> Any:
    return by_name(job.recipe).check({name: MessageToDict(value) for name, value in job.parameters.items()})


def test_the_defaults_are_the_recipe_s(asked: list[pb.Job]) -> None:
    assert app.run(WORDS) == 0
    (job,) = asked
    assert (job.model, job.data[0].uris) == ("models/digits", ["s3://bucket/rows"])
    plain = {"members": ["digits@2", "digits@stable"], "target": "label"}
    assert parameters(job) == by_name("ensemble").check(plain)
    assert not job.HasField("split")


def test_everything_that_can_be_said_arrives(asked: list[pb.Job]) -> None:
    more = [
        "--task", "classification", "--input", "pixels=image", "--input", "features=a,b", "--output", "p",
        "--logits", "digits@2", "--classes", "cat,dog", "--group", "user", "--held-out", "--method", "triton",
        "--force", "--min-gain", "0.01", "--gate", "accuracy >= 0.9",
    ]  # fmt: skip
    assert app.run([*WORDS, *more]) == 0
    (job,) = asked
    found = parameters(job)
    assert found.inputs == {"pixels": ("image",), "features": ("a", "b")}
    assert (found.output, found.logits, found.classes, found.group) == ("p", ("digits@2",), ("cat", "dog"), "user")
    assert (found.tune_on, found.method, found.force, found.min_gain) == ("all", "triton", True, 0.01)
    assert (list(job.gates), job.split.validation, job.split.test) == (["accuracy >= 0.9"], 0.45, 0.45)
    decode(Create, pb.CreateJobRequest(job=job))


def test_logits_of_all(asked: list[pb.Job]) -> None:
    assert app.run([*WORDS, "--logits", "all"]) == 0
    assert parameters(asked[0]).logits == "all"


def test_one_member_is_a_wrong_command_line(asked: list[pb.Job]) -> None:
    assert app.run([*WORDS[:4], *WORDS[5:]]) == 2
    assert not asked
