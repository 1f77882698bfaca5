"""Plans from files and options, and what the command line says of pipelines and schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from bmase import plans
from bmase.cli import pipelines, planning, schedules
from bmase.errors import InvalidArgument
from bmase.trainer.v1 import pipeline_pb2, schedule_pb2

PLAN = """
overlap = "skip"

[job]
model = "digits"
recipe = "image-classification"
gates = ["accuracy >= 0.9"]
data = [{uris = ["s3://lake/digits", "data/digits.csv"], snapshot = true}]
resources = {time_limit = "1.5h"}

[job.parameters]
epochs = 3
layers = [8, 16]

[release_policy]
keep = "10m"
on_timeout = "rollback"

[drift]
kinds = ["drift"]
cool_down = "6h"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_a_file_is_a_plan(file: Path) -> None:
    plan = plans.plan(plans.load(file))
    assert (plan.job.model, plan.job.recipe) == ("models/digits", "image-classification")
    assert list(plan.job.data[0].uris) == ["s3://lake/digits", (Path.cwd() / "data/digits.csv").as_uri()]
    assert plan.job.parameters["epochs"].number_value == 3
    assert [each.number_value for each in plan.job.parameters["layers"].list_value.values] == [8, 16]
    assert plan.job.resources.time_limit.seconds == 5400
    assert (plan.release_policy.keep.seconds, plan.release_policy.on_timeout) == (600, 2)


def test_the_same_file_is_a_schedule(file: Path) -> None:
    made = plans.schedule("nightly", plans.load(file))
    assert (made.name, made.overlap) == ("schedules/nightly", schedule_pb2.Schedule.OVERLAP_SKIP)
    assert (list(made.drift.kinds), made.drift.cool_down.seconds) == (["drift"], 6 * 3600)
    assert made.plan == plans.plan(plans.load(file))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"job": {"modell": "digits"}}, "job.modell"),
        ({"job": {"resources": {"time_limit": "soon"}}}, "job.resources.time_limit"),
        ({"cron": {"expression": "@daily", "catch_up": "some"}}, "cron.catch_up"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument, match=field.replace(".", r"\.")):
        plans.schedule("nightly", document)


def test_options_go_before_the_file(file: Path) -> None:
    document = planning.document(
        file, model="other", data=["x.csv"], parameters=["epochs=5", "name=big"], gates=["mae < 1"], no_release=True
    )
    plan = plans.plan(document)
    assert (plan.job.model, list(plan.job.gates), plan.no_release) == ("models/other", ["mae < 1"], True)
    assert plan.job.recipe == "image-classification"
    assert plan.job.parameters["epochs"].number_value == 5
    assert plan.job.parameters["name"].string_value == "big"
    assert plan.job.parameters["layers"].list_value.values
    with pytest.raises(typer.BadParameter, match="say what to do"):
        planning.document(None)


def test_lines_say_where_it_is() -> None:
    seen = pipeline_pb2.Pipeline(name="pipelines/p1", state=pipeline_pb2.Pipeline.STATE_GATE_FAILED, message="no")
    assert pipelines.line(seen) == "p1: gate failed, no"
    seen = pipeline_pb2.Pipeline(name="pipelines/p1", state=pipeline_pb2.Pipeline.STATE_RELEASING, stopping=True)
    seen.timings.add(state=pipeline_pb2.Pipeline.STATE_RETRAINING).duration.FromMilliseconds(1500)
    assert (pipelines.state(seen), pipelines.stages(seen)) == ("releasing (stopping)", "retraining 1.5 s")
    cron = schedule_pb2.CronTrigger(expression="@daily", zone="UTC")
    assert schedules.trigger(schedule_pb2.Schedule(cron=cron)) == "@daily UTC"
    assert schedules.trigger(schedule_pb2.Schedule(drift=schedule_pb2.DriftTrigger())) == "alerts: any"
    assert schedules.trigger(schedule_pb2.Schedule()) == "by hand"
