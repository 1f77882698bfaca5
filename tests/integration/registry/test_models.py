"""Models over the wire, on every kind of storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb

from tests.support.onnx_models import affine
from tests.support.registry import Registry, put, refusal


def create(stub: Any, name: str, **more: Any) -> pb.Model:
    request_id = more.pop("request_id", "")
    model = pb.Model(name=f"models/{name}", **more)
    return stub.CreateModel(pb.CreateModelRequest(model=model, request_id=request_id))  # type: ignore[no-any-return]


def version(stub: Any, name: str, **more: Any) -> pb.Version:
    digest = put(stub, affine(more.pop("a", 1.0)).SerializeToString())
    made = pb.Version(files=[pb.File(path="model.onnx", digest=digest)], **more)
    return stub.CreateVersion(pb.CreateVersionRequest(parent=f"models/{name}", version=made))  # type: ignore[no-any-return]


def test_a_model_is_what_was_said(stub: Any, name: str) -> None:
    made = create(stub, name, description="reads digits, 数字", labels={"team": "vision"})
    found = stub.GetModel(pb.GetModelRequest(name=f"models/{name}"))
    assert found == made
    assert (found.description, dict(found.labels)) == ("reads digits, 数字", {"team": "vision"})
    assert (found.latest_version, found.version_count) == (0, 0)
    assert found.create_time.ToMicroseconds() > 0
    assert not found.HasField("delete_time")


def test_labels_of_any_script_have_room(stub: Any, name: str) -> None:
    labels = {f"k{index}": "数" * 250 for index in range(64)}
    made = create(stub, name, labels=labels)
    assert dict(made.labels) == labels
    assert dict(version(stub, name, labels=labels).labels) == labels
    listed = stub.ListModels(pb.ListModelsRequest(filter=f'labels.k7="{labels["k7"]}" AND name="{name}"')).models
    assert [model.name for model in listed] == [made.name]


def test_a_name_is_taken_once(stub: Any, name: str) -> None:
    create(stub, name)
    failed = refusal(lambda: create(stub, name))
    assert (failed.code, failed.reason) == ("ALREADY_EXISTS", "MODEL_EXISTS")


def test_the_same_request_gets_the_first_answer(stub: Any, name: str) -> None:
    first = create(stub, name, description="one", request_id=f"id-{name}")
    stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(name=first.name, description="two")))
    assert create(stub, name, description="one", request_id=f"id-{name}") == first
    failed = refusal(lambda: create(stub, f"{name}-b", request_id=f"id-{name}"))
    assert (failed.code, failed.reason, failed.fields) == ("ALREADY_EXISTS", "REQUEST_REUSED", ("request_id",))


def test_many_clients_create_one_model(stub: Any, name: str) -> None:
    def attempt(_: int) -> str:
        try:
            create(stub, name)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(16)))
    assert sorted(answers) == ["ALREADY_EXISTS"] * 15 + ["OK"]


def test_an_update_changes_what_it_names(stub: Any, name: str) -> None:
    made = create(stub, name, description="one", labels={"a": "1", "b": "2"})
    changed = pb.Model(name=made.name, description="ignored", labels={"c": "3"}, etag=made.etag)
    found = stub.UpdateModel(pb.UpdateModelRequest(model=changed, update_fields=["labels"]))
    assert (found.description, dict(found.labels)) == ("one", {"c": "3"})
    assert found.etag != made.etag
    listed = stub.ListModels(pb.ListModelsRequest(filter=f'labels.c="3" AND name="{name}"')).models
    assert [model.name for model in listed] == [made.name]
    failed = refusal(lambda: stub.UpdateModel(pb.UpdateModelRequest(model=changed)))
    assert (failed.code, failed.reason, failed.fields) == ("ABORTED", "ETAG_MISMATCH", ("etag",))


def test_an_update_that_names_nothing_keeps_what_it_does_not_say(stub: Any, name: str) -> None:
    made = create(stub, name, description="one", labels={"a": "1"})
    labelled = stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(name=made.name, labels={"b": "2"})))
    assert (labelled.description, dict(labelled.labels)) == ("one", {"b": "2"})
    failed = refusal(lambda: stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(name=made.name))))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("update_fields",))
    emptied = stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(name=made.name), update_fields=["description"]))
    assert (emptied.description, dict(emptied.labels)) == ("", {"b": "2"})


def test_deleted_and_brought_back(stub: Any, name: str) -> None:
    create(stub, name)
    version(stub, name)
    gone = stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}"))
    assert gone.HasField("delete_time")
    assert stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}")) == gone
    assert stub.GetModel(pb.GetModelRequest(name=f"models/{name}")).HasField("delete_time")
    assert not stub.ListModels(pb.ListModelsRequest(filter=f'name="{name}"')).models
    assert stub.ListModels(pb.ListModelsRequest(filter=f'name="{name}"', show_deleted=True)).models
    assert refusal(lambda: version(stub, name, a=2.0)).reason == "MODEL_NOT_FOUND"
    assert refusal(lambda: create(stub, name)).reason == "MODEL_EXISTS"
    latest = pb.GetVersionRequest(name=f"models/{name}/versions/latest")
    assert refusal(lambda: stub.GetVersion(latest)).reason == "MODEL_NOT_FOUND"
    back = stub.UndeleteModel(pb.UndeleteModelRequest(name=f"models/{name}"))
    assert (back.HasField("delete_time"), back.latest_version) == (False, 1)
    assert stub.GetVersion(latest).number == 1


def test_a_held_version_keeps_its_model(stub: Any, name: str) -> None:
    create(stub, name)
    held = version(stub, name).name
    stub.PutHold(pb.PutHoldRequest(version=held, holder="deployments/7"))
    failed = refusal(lambda: stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}")))
    assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "VERSION_IN_USE")
    assert "deployments/7" in failed.message
    stub.DeleteHold(pb.DeleteHoldRequest(version=held, holder="deployments/7"))
    assert stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}")).HasField("delete_time")


@pytest.mark.parametrize(
    "bad",
    ["../etc", "a/b", "a b", "A", "", ".", "-a", "a-", "a" * 64, "a" * 10_000, 'a"}),os.exit()--', "a\n", "é", "a\0b"],
)
def test_names_that_could_be_anything_else_are_refused(stub: Any, bad: str) -> None:
    failed = refusal(lambda: create(stub, bad))
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert failed.fields == ("model.name",)
    assert bad == "" or bad not in failed.message or len(bad) < 3


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (pb.Model(name="models/x", description="x" * 4001), "model.description"),
        (pb.Model(name="models/x", labels={"Bad Key": "x"}), "model.labels"),
        (pb.Model(name="models/x", labels={"k": "x" * 257}), "model.labels"),
        (pb.Model(name="models/x", labels={f"k{i}": "" for i in range(65)}), "model.labels"),
    ],
)
def test_bounds(stub: Any, model: pb.Model, field: str) -> None:
    failed = refusal(lambda: stub.CreateModel(pb.CreateModelRequest(model=model)))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (field,))


def test_unknown_models_are_not_found(stub: Any, name: str) -> None:
    failed = refusal(lambda: stub.GetModel(pb.GetModelRequest(name=f"models/{name}")))
    assert (failed.code, failed.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert failed.error.metadata == {"model": name}


def test_a_request_that_is_no_message_is_refused(registry: Registry) -> None:
    with grpc.insecure_channel(registry.address) as channel:
        for method in ("GetModel", "CreateVersion", "ListModels"):
            raw = channel.unary_unary(f"/bmase.registry.v1.RegistryService/{method}")
            failed = refusal(lambda raw=raw: raw(b"\xff\xff\xff garbage"))  # type: ignore[misc]
            assert failed.code == "INVALID_ARGUMENT"
        stream = channel.stream_unary("/bmase.registry.v1.RegistryService/WriteArtefact")
        for body in (b"\xff\xff\xff garbage", b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" + b"x" * 5000):
            assert refusal(lambda b=body: stream(iter([b]))).code == "INVALID_ARGUMENT"  # type: ignore[misc]
