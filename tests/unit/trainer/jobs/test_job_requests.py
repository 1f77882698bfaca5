"""The bounds of requests, and that what was asked for is told again."""

from __future__ import annotations

from typing import Any

import pytest
from bmase.trainer.v1 import trainer_pb2 as pb
from google.protobuf.json_format import ParseDict

from services.kit.decode import decode
from services.kit.errors import InvalidArgument
from services.kit.filters import parse_filter
from services.trainer.jobs import requests as rq
from services.trainer.jobs.events import Kind
from services.trainer.jobs.listing import FIELDS, LASTING_FIELDS, condition, order_of
from services.trainer.jobs.report import spec_message
from services.trainer.jobs.spec import Resources, Spec, Split
from tests.unit.trainer.jobs.jobs import DIGEST

LEAST = {"model": "models/digits", "recipe": "tabular"}
MOST = {
    "model": "models/digits",
    "bundle": {"digest": DIGEST, "entryPoint": "digits.train:main"},
    "data": [
        {"uris": ["s3://bucket/rows/", "file:///rows/a.parquet"], "snapshot": True},
        {"name": "users", "uris": ["hdfs://node:9000/users"]},
    ],
    "split": {"validation": 0.2, "test": 0, "salt": "2", "key": ["user", "day"]},
    "parameters": {"epochs": 3, "rate": 1e-3, "layers": [64, 32.5], "nested": {"a": None, "b": [True, "x"]}},
    "seed": "4294967295",
    "resources": {"workers": 2, "cpus": 1.5, "memoryBytes": str(2**33), "gpus": 1, "timeLimit": "90s"},
    "environmentDigest": DIGEST,
    "gates": ["accuracy >= 0.9", "no slice below 0.8"],
    "labels": {"team": "vision"},
    "priority": -100,
    "owner": "ann",
}


def message(**fields: Any) -> pb.CreateJobRequest:
    return pb.CreateJobRequest(job=ParseDict({**LEAST, **fields}, pb.Job()))


def refused(kind: type, request: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        decode(kind, request)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_as_little_as_a_job_must_say() -> None:
    spec = decode(rq.Create, message()).job
    assert (spec.model.model, spec.recipe, spec.bundle, spec.seed, spec.priority) == ("digits", "tabular", None, 0, 0)
    assert spec.split == Split(validation=0.1, test=0.1)
    assert spec.resources == Resources(workers=1, cpus=1.0, memory_bytes=2 * 2**30, gpus=0, time_limit=86_400.0)
    assert spec.environment_digest is None


def test_a_job_survives_being_said_and_kept() -> None:
    request = pb.CreateJobRequest(job=ParseDict(MOST, pb.Job()))
    spec = decode(rq.Create, request).job
    assert [source.name for source in spec.data] == ["data", "users"]
    assert (spec.split.validation, spec.split.test, spec.resources.time_limit) == (0.2, 0.0, 90.0)
    assert spec.resources.millicpus == 1500
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert decode(rq.Create, pb.CreateJobRequest(job=spec_message(spec))).job == spec
    assert spec_message(decode(rq.Create, message()).job).recipe == "tabular"


def test_numbers_arrive_as_they_were_meant() -> None:
    parameters = decode(rq.Create, pb.CreateJobRequest(job=ParseDict(MOST, pb.Job()))).job.parameters
    assert parameters == MOST["parameters"]
    assert [type(parameters[name]) for name in ("epochs", "rate")] == [int, float]
    assert [type(item) for item in parameters["layers"]] == [int, float]
    assert decode(rq.Create, message(parameters={"big": 2.0**60})).job.parameters == {"big": 2.0**60}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"model": "digits"}, "job.model"),
        ({"recipe": "Tabular"}, "job.recipe"),
        ({"recipe": "../x"}, "job.recipe"),
        ({"data": [{"uris": []}]}, "job.data[0].uris"),
        ({"data": [{"uris": ["file:///a"] * 1001}]}, "job.data[0].uris"),
        ({"data": [{"uris": ["/a"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"uris": ["http://h/a"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"uris": ["file:///a", "file://"]}]}, "job.data[0].uris[1]"),
        ({"data": [{"uris": ["file:///a/../b"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"uris": ["s3://key:secret@bucket/a"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"uris": ["file:///a\nb"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"uris": ["s3://[b/"]}]}, "job.data[0].uris[0]"),
        ({"data": [{"name": "A", "uris": ["file:///a"]}]}, "job.data[0].name"),
        ({"data": [{"uris": ["file:///a"]}, {"name": "data", "uris": ["file:///b"]}]}, "job.data"),
        ({"data": [{"name": f"d{n}", "uris": ["file:///a"]} for n in range(17)]}, "job.data"),
        ({"data": [{"name": n, "uris": [f"file:///{'x' * 2000}"] * 300} for n in "ab"]}, "job.data"),
        ({"split": {"validation": -0.1}}, "job.split.validation"),
        ({"split": {"test": "NaN"}}, "job.split.test"),
        ({"split": {"validation": 0.5, "test": 0.5}}, "job.split"),
        ({"split": {"validation": 0.5, "none": True}}, "job.split"),
        ({"split": {"salt": "x" * 65}}, "job.split.salt"),
        ({"split": {"key": [""]}}, "job.split.key[0]"),
        ({"split": {"key": ["x"] * 9}}, "job.split.key"),
        ({"parameters": {"": 1}}, "job.parameters"),
        ({"parameters": {f"p{n}": 1 for n in range(257)}}, "job.parameters"),
        ({"parameters": {"p": "x" * 65_536}}, "job.parameters"),
        ({"seed": "4294967296"}, "job.seed"),
        ({"seed": "-1"}, "job.seed"),
        ({"resources": {"workers": 1025}}, "job.resources.workers"),
        ({"resources": {"workers": -1}}, "job.resources.workers"),
        ({"resources": {"cpus": 0.0001}}, "job.resources.cpus"),
        ({"resources": {"cpus": "NaN"}}, "job.resources.cpus"),
        ({"resources": {"cpus": "Infinity"}}, "job.resources.cpus"),
        ({"resources": {"memoryBytes": "1000"}}, "job.resources"),
        ({"resources": {"gpus": 65}}, "job.resources.gpus"),
        ({"resources": {"timeLimit": "0s"}}, "job.resources.time_limit"),
        ({"resources": {"timeLimit": "2592001s"}}, "job.resources.time_limit"),
        ({"environmentDigest": "sha256:1"}, "job.environment_digest"),
        ({"gates": [" "]}, "job.gates[0]"),
        ({"gates": ["x" * 201]}, "job.gates[0]"),
        ({"gates": ["x"] * 101}, "job.gates"),
        ({"labels": {"Team": "x"}}, "job.labels"),
        ({"priority": 101}, "job.priority"),
        ({"owner": "a\nb"}, "job.owner"),
        ({"owner": "x" * 65}, "job.owner"),
    ],
)
def test_the_bounds_of_a_job(fields: dict[str, Any], where: str) -> None:
    assert list(refused(rq.Create, message(**fields))) == [where]


@pytest.mark.parametrize(
    "entry_point", ["", "main", "a.b", ":main", "a:b:c", "a.:b", "a b:c", "os;x:y", "a" * 255 + ":b"]
)
def test_what_is_called_is_a_function_of_a_module(entry_point: str) -> None:
    job = pb.Job(model="models/digits", bundle=pb.CodeBundle(digest=DIGEST, entry_point=entry_point))
    assert list(refused(rq.Create, pb.CreateJobRequest(job=job))) == ["job.bundle.entry_point"]


def test_something_must_train() -> None:
    found = refused(rq.Create, pb.CreateJobRequest(job=pb.Job(model="models/digits")))
    assert found == {"job": "must name what trains: either recipe or bundle"}
    assert list(refused(rq.Create, pb.CreateJobRequest())) == ["job"]


def test_parameters_are_not_nested_without_end() -> None:
    deep: Any = 1
    for _ in range(17):
        deep = [deep]
    assert "levels" in refused(rq.Create, message(parameters={"p": deep}))["job.parameters"]
    assert decode(rq.Create, message(parameters={"p": deep[0][0]}))


def test_all_that_is_wrong_is_said_at_once() -> None:
    request = message(priority=101, seed="-1", resources={"workers": -1})
    request.request_id = "?"
    assert set(refused(rq.Create, request)) == {"job.priority", "job.seed", "job.resources.workers", "request_id"}


@pytest.mark.parametrize("name", ["", "j-1", "jobs/", "jobs/A", "jobs/../x", "jobs/a/b", "jobs/-", "jobs/" + "a" * 64])
def test_names_of_jobs(name: str) -> None:
    assert list(refused(rq.Named, pb.GetJobRequest(name=name))) == ["name"]
    assert decode(rq.Named, pb.GetJobRequest(name="jobs/j-1")).name == "j-1"


def test_other_requests() -> None:
    assert refused(rq.Cancel, pb.CancelJobRequest(name="jobs/j", message="x" * 501)).keys() == {"message"}
    assert refused(rq.Watch, pb.WatchJobRequest(name="jobs/j", from_offset=-1)).keys() == {"from_offset"}
    assert refused(rq.WatchAll, pb.WatchJobsRequest(from_revision=-1)).keys() == {"from_revision"}
    assert refused(rq.ListMetrics, pb.ListMetricsRequest(name="jobs/j", metric="-x")).keys() == {"metric"}
    assert refused(rq.List, pb.ListJobsRequest(page_size=-1)).keys() == {"page_size"}
    wrong = pb.WatchJobRequest(name="jobs/j", kinds=[pb.WatchJobRequest.KIND_LOG, 9])  # type: ignore[list-item]
    assert refused(rq.Watch, wrong).keys() == {"kinds[1]"}


def test_kinds_of_events() -> None:
    assert set(rq.KINDS) == set(pb.WatchJobRequest.Kind.values()) - {0}
    assert decode(rq.Watch, pb.WatchJobRequest(name="jobs/j")).wanted == frozenset(Kind)
    one = pb.WatchJobRequest(name="jobs/j", kinds=[pb.WatchJobRequest.KIND_LOG])
    assert decode(rq.Watch, one).wanted == {Kind.LOG}


def test_every_field_that_can_be_filtered_has_its_column() -> None:
    for name, kind in FIELDS.items():
        value = next(iter(kind)) if isinstance(kind, dict) else "2026-01-01" if "time" in name else "1"
        field = f"{name}team" if name.endswith(".") else name
        operator = ">" if "time" in name else "="
        [term] = parse_filter(f'{field}{operator}"{value}"', FIELDS)
        assert str(condition(term))
    assert LASTING_FIELDS.keys() < FIELDS.keys()


@pytest.mark.parametrize("text", ["size", "priority asc", "create_time; DROP TABLE jobs"])
def test_orders(text: str) -> None:
    with pytest.raises(InvalidArgument):
        order_of(text)
    assert order_of("") == order_of(" create_time   desc ")


def test_what_may_be_set_is_what_the_contract_says() -> None:
    """Fields of Job up to `owner` are given by the caller; the bounds know exactly these."""
    given = [f for f in pb.Job.DESCRIPTOR.fields if 2 <= f.number <= 14]
    assert {field.name for field in given} == set(Spec.model_fields)
