"""What the judge says is what the contract has."""

from __future__ import annotations

from dataclasses import fields

import pytest
from bmase.monitor.v1 import evidence_pb2 as pb
from google.protobuf.message import Message

from services.monitor.judge.evidence import Arm, Evidence, Policy, Suspicion, Verdict
from services.monitor.judge.kinds import Kind


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Arm, pb.Arm), (Suspicion, pb.Suspicion), (Evidence, pb.Evidence), (Policy, pb.JudgePolicy)],
)
def test_fields_have_the_same_names(ours: type, theirs: type[Message]) -> None:
    named = {field.name.removesuffix("_seconds") for field in fields(ours)}
    assert named == set(theirs.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [(Kind, pb.Suspicion.Kind, "KIND_"), (Verdict, pb.Evidence.Verdict, "VERDICT_")],
)
def test_choices_are_the_same(ours: type[Kind | Verdict], theirs: object, prefix: str) -> None:
    known = {name.removeprefix(prefix) for name in theirs.keys()} - {"UNSPECIFIED"}  # type: ignore[attr-defined] # noqa: SIM118
    assert {each.name for each in ours} == known
