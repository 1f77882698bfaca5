"""Versions over the wire, on every kind of storage."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from services.registry.versioninput import VersionInput
from tests.support.onnx_models import affine
from tests.support.registry import Registry, digest_of, get, put, refusal


def onnx_file(stub: Any, a: float = 1.0, **more: Any) -> pb.File:
    return pb.File(path="model.onnx", digest=put(stub, affine(a, **more).SerializeToString()))


def create(stub: Any, name: str, *files: pb.File, **more: Any) -> pb.Version:
    rest = {key: more.pop(key) for key in ("request_id", "samples") if key in more}
    version = pb.Version(files=files, **more)
    request = pb.CreateVersionRequest(parent=f"models/{name}", version=version, create_model=True, **rest)
    return stub.CreateVersion(request)  # type: ignore[no-any-return]


def config_of(stub: Any, version: pb.Version) -> triton.ModelConfig:
    (digest,) = [file.digest for file in version.files if file.role == pb.File.ROLE_CONFIG]
    return text_format.Parse(get(stub, digest).decode(), triton.ModelConfig())


def sample(x: list[float], y: list[float] | None = None) -> pb.Sample:
    def tensor(name: str, values: list[float]) -> pb.TensorValue:
        data = struct.pack(f"<{len(values)}f", *values)
        return pb.TensorValue(name=name, datatype="FP32", shape=[len(values) // 4, 4], data=data)

    return pb.Sample(inputs=[tensor("x", x)], outputs=[tensor("y", y)] if y else [])


def test_an_onnx_file_is_enough(stub: Any, name: str) -> None:
    made = create(stub, name, onnx_file(stub), labels={"stage": "test"}, metrics={"accuracy": 0.75})
    assert (made.name, made.number, made.format) == (f"models/{name}/versions/1", 1, pb.FORMAT_ONNX)
    assert made.signature.inputs[0] == pb.Tensor(name="x", datatype="FP32", shape=[4])
    assert made.signature.outputs[0] == pb.Tensor(name="y", datatype="FP32", shape=[4])
    assert (made.serving.max_batch_size, made.serving.backend, made.serving.instances) == (32, "onnxruntime", 1)
    assert made.serving.HasField("dynamic_batching")
    assert made.size_bytes == sum(file.size_bytes for file in made.files)
    config = config_of(stub, made)
    assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 32)
    assert list(config.version_policy.specific.versions) == [1]
    assert [file.role for file in made.files] == [pb.File.ROLE_MODEL, pb.File.ROLE_CONFIG]
    for which in ("1", "latest"):
        assert stub.GetVersion(pb.GetVersionRequest(name=f"models/{name}/versions/{which}")) == made
    model = stub.GetModel(pb.GetModelRequest(name=f"models/{name}"))
    assert (model.latest_version, model.version_count) == (1, 1)


def test_serving_as_it_was_asked_for(stub: Any, name: str) -> None:
    serving = pb.Serving(
        max_batch_size=8,
        instances=2,
        parameters={"intra_op_thread_count": "1"},
        dynamic_batching=pb.DynamicBatching(preferred_batch_sizes=[4, 8], max_queue_delay_us=500),
    )
    config = config_of(stub, create(stub, name, onnx_file(stub), serving=serving))
    assert (config.max_batch_size, config.instance_group[0].count) == (8, 2)
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.parameters["intra_op_thread_count"].string_value == "1"


def test_without_batches_the_first_dimension_stays(stub: Any, name: str) -> None:
    made = create(stub, name, onnx_file(stub), serving=pb.Serving(max_batch_size=0))
    assert list(made.signature.inputs[0].shape) == [-1, 4]
    assert not config_of(stub, made).HasField("dynamic_batching")
    fixed = create(stub, name, onnx_file(stub, batch=1))
    assert (list(fixed.signature.inputs[0].shape), fixed.serving.max_batch_size) == ([1, 4], 0)
    failed = refusal(lambda: create(stub, name, onnx_file(stub, batch=1), serving=pb.Serving(max_batch_size=4)))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("version.serving.max_batch_size",))


def test_equal_content_is_the_same_version(stub: Any, name: str) -> None:
    first = create(stub, name, onnx_file(stub))
    failed = refusal(lambda: create(stub, name, onnx_file(stub), description="says nothing about content"))
    assert (failed.code, failed.reason) == ("ALREADY_EXISTS", "VERSION_EXISTS")
    assert failed.error.metadata == {"model": name, "version": "1"}
    other = create(stub, f"{name}-b", onnx_file(stub))
    assert other.digest == first.digest
    assert create(stub, name, onnx_file(stub), serving=pb.Serving(instances=2)).number == 2


def test_evidence_is_kept_but_not_looked_into(stub: Any, name: str) -> None:
    def with_evidence(text: bytes) -> pb.Version:
        card = pb.File(path="evidence/model.onnx", digest=put(stub, text), role=pb.File.ROLE_EVIDENCE)
        return create(stub, name, onnx_file(stub), card)

    bare, made = create(stub, name, onnx_file(stub)), with_evidence(b"no model at all")
    assert (made.number, made.signature, made.serving) == (2, bare.signature, bare.serving)
    (kept,) = [file for file in made.files if file.role == pb.File.ROLE_EVIDENCE]
    assert get(stub, kept.digest) == b"no model at all"
    assert made.size_bytes - bare.size_bytes == len(b"no model at all")
    # What else was found out about the same model is another version; nothing new is none.
    assert with_evidence(b"evaluated again").number == 3
    failed = refusal(lambda: with_evidence(b"no model at all"))
    assert (failed.reason, failed.error.metadata["version"]) == ("VERSION_EXISTS", "2")


def test_evidence_alone_is_no_version(stub: Any, name: str) -> None:
    model = affine(1.0).SerializeToString()
    file = pb.File(path="evidence/model.onnx", digest=put(stub, model), role=pb.File.ROLE_EVIDENCE)
    failed = refusal(lambda: create(stub, name, file))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("version.files",))


def test_the_same_request_gets_the_first_answer(stub: Any, name: str) -> None:
    first = create(stub, name, onnx_file(stub), request_id=f"v-{name}")
    create(stub, name, onnx_file(stub, 2.0))
    assert create(stub, name, onnx_file(stub), request_id=f"v-{name}") == first
    failed = refusal(lambda: create(stub, name, onnx_file(stub, 3.0), request_id=f"v-{name}"))
    assert failed.reason == "REQUEST_REUSED"


def test_many_clients_create_versions_at_once(stub: Any, name: str) -> None:
    files = [onnx_file(stub, float(a)) for a in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda file: create(stub, name, file), files))
    assert sorted(version.number for version in made) == list(range(1, 13))
    for version in made:
        assert list(config_of(stub, version).version_policy.specific.versions) == [version.number]


def test_more_model_files_are_read_at_once_than_there_are_threads(own: Registry) -> None:
    """Each reader waits for bytes that another thread fetches: readers alone must never hold all of them."""
    files = [onnx_file(own.stub, float(a)) for a in range(48)]
    requests = [
        pb.CreateVersionRequest(parent=f"models/m-{index}", version=pb.Version(files=[file]), create_model=True)
        for index, file in enumerate(files)
    ]
    calls = [own.stub.CreateVersion.future(request, timeout=60) for request in requests]
    assert [call.result().number for call in calls] == [1] * len(files)


def test_many_clients_create_the_same_version(stub: Any, name: str) -> None:
    file = onnx_file(stub)

    def attempt(_: int) -> int:
        try:
            return create(stub, name, file).number
        except grpc.RpcError as error:
            return {grpc.StatusCode.ALREADY_EXISTS: 0}[error.code()]

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(8))) == [0] * 7 + [1]


def test_a_missing_artefact_is_named(stub: Any, name: str) -> None:
    files = [onnx_file(stub), pb.File(path="extra.bin", digest=digest_of(b"never sent"))]
    failed = refusal(lambda: create(stub, name, *files))
    assert (failed.code, failed.reason) == ("NOT_FOUND", "ARTEFACT_NOT_FOUND")
    assert failed.fields == ("version.files[1].digest",)
    assert refusal(lambda: stub.GetModel(pb.GetModelRequest(name=f"models/{name}"))).reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("raw", [b"", b"no model at all", b"\x80\x04\x95" * 50])
def test_a_file_that_is_no_model_is_refused_with_the_reason(stub: Any, name: str, raw: bytes) -> None:
    failed = refusal(lambda: create(stub, name, pb.File(path="model.onnx", digest=put(stub, raw))))
    assert (failed.code, failed.reason, failed.fields) == (
        "INVALID_ARGUMENT",
        "INVALID_MODEL_FILE",
        ("version.files[0]",),
    )
    assert failed.error.metadata == {"path": "model.onnx"}


def test_a_truncated_model_is_refused(stub: Any, name: str) -> None:
    raw = affine(width=50_000).SerializeToString()
    failed = refusal(lambda: create(stub, name, pb.File(path="model.onnx", digest=put(stub, raw[:-10]))))
    assert failed.reason == "INVALID_MODEL_FILE"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("../model.onnx", "version.files[0].path"),
        ("/model.onnx", "version.files[0].path"),
        ("a/../../model.onnx", "version.files[0].path"),
        ("a\\b", "version.files[0].path"),
        (".hidden", "version.files[0].path"),
        ("x" * 256, "version.files[0].path"),
        ("", "version.files[0].path"),
        ("other.onnx", "version.files"),
    ],
)
def test_paths(stub: Any, name: str, path: str, field: str) -> None:
    file = pb.File(path=path, digest=onnx_file(stub).digest)
    failed = refusal(lambda: create(stub, name, file))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (field,))


def test_paths_that_collide(stub: Any, name: str) -> None:
    digest = onnx_file(stub).digest
    twice = [pb.File(path="model.onnx", digest=digest)] * 2
    inside = [pb.File(path=path, digest=digest) for path in ("model.onnx", "model.onnx/x")]
    for files in (twice, inside):
        assert refusal(lambda f=files: create(stub, name, *f)).fields == ("version.files",)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (pb.Tensor(name="z", datatype="FP32", shape=[4]), "version.signature.inputs[0].name"),
        (pb.Tensor(name="x", datatype="INT64", shape=[4]), "version.signature.inputs[0].datatype"),
        (pb.Tensor(name="x", datatype="FP32", shape=[5]), "version.signature.inputs[0].shape"),
        (pb.Tensor(name="x", datatype="FLOAT", shape=[4]), "version.signature.inputs[0].datatype"),
        (pb.Tensor(name="x", datatype="FP32", shape=[-2]), "version.signature.inputs[0].shape[0]"),
    ],
)
def test_a_signature_that_contradicts_the_file(stub: Any, name: str, tensor: pb.Tensor, field: str) -> None:
    output = pb.Tensor(name="y", datatype="FP32", shape=[4])
    signature = pb.Signature(inputs=[tensor], outputs=[output])
    failed = refusal(lambda: create(stub, name, onnx_file(stub), signature=signature))
    assert failed.code == "INVALID_ARGUMENT"
    assert field in failed.fields


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"metrics": {"accuracy": float("nan")}}, "version.metrics"),
        ({"metrics": {"": 1.0}}, "version.metrics"),
        ({"format": 7}, "version.format"),
        ({"serving": pb.Serving(max_batch_size=-2)}, "version.serving.max_batch_size"),
        ({"serving": pb.Serving(instances=1000)}, "version.serving.instances"),
        ({"serving": pb.Serving(backend="../x")}, "version.serving.backend"),
        ({"lineage": pb.Lineage(data_digest="x")}, "version.lineage.data_digest"),
        ({"lineage": pb.Lineage(parent_version="models/x")}, "version.lineage.parent_version"),
    ],
)
def test_bounds(stub: Any, name: str, more: dict[str, Any], field: str) -> None:
    failed = refusal(lambda: create(stub, name, onnx_file(stub), **more))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (field,))


def test_every_bound_field_is_one_of_the_contract() -> None:
    assert set(VersionInput.model_fields) <= set(pb.Version.DESCRIPTOR.fields_by_name)


# --- samples --------------------------------------------------------------------------------------------------------


def test_samples_become_files_for_the_warm_up(stub: Any, name: str) -> None:
    given = sample([1.0] * 8, [1.0] * 8)
    made = create(stub, name, onnx_file(stub), samples=[given, sample([2.0] * 4)])
    files = [file for file in made.files if file.role == pb.File.ROLE_SAMPLE]
    assert [file.path for file in files] == ["samples/1.pb", "samples/2.pb"]
    assert pb.Sample.FromString(get(stub, files[0].digest)) == given


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "z"}, "samples[0].inputs[0].name"),
        ({"datatype": "FP64"}, "samples[0].inputs[0].datatype"),
        ({"shape": [1, 5]}, "samples[0].inputs[0].shape"),
        ({"shape": [33, 4]}, "samples[0].inputs[0].shape"),
        ({"data": b"1234"}, "samples[0].inputs[0].data"),
    ],
)
def test_samples_must_fit_the_signature(stub: Any, name: str, change: dict[str, Any], field: str) -> None:
    wrong = sample([1.0] * 4)
    for key, value in change.items():
        if key == "shape":
            wrong.inputs[0].shape[:] = value
        else:
            setattr(wrong.inputs[0], key, value)
    failed = refusal(lambda: create(stub, name, onnx_file(stub), samples=[wrong]))
    assert failed.code == "INVALID_ARGUMENT"
    assert field in failed.fields


# --- given configurations -------------------------------------------------------------------------------------------

PYTHON_MODEL = """
backend: "python"
max_batch_size: 4
input { name: "a" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "b" data_type: TYPE_FP16 dims: [ -1, 2 ] }
"""


def test_a_triton_directory(stub: Any, name: str) -> None:
    files = [
        pb.File(path="model.py", digest=put(stub, b"class TritonPythonModel: ...")),
        pb.File(path="config.pbtxt", digest=put(stub, PYTHON_MODEL.encode())),
    ]
    made = create(stub, name, *files)
    assert made.format == pb.FORMAT_TRITON
    assert made.signature.inputs[0] == pb.Tensor(name="a", datatype="BYTES", shape=[1])
    assert made.signature.outputs[0] == pb.Tensor(name="b", datatype="FP16", shape=[-1, 2])
    config = config_of(stub, made)
    assert (config.name, config.backend) == (name, "python")
    assert list(config.version_policy.specific.versions) == [1]
    assert refusal(lambda: create(stub, name, *files)).reason == "VERSION_EXISTS"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no config {", "line 1"),
        ('backend: "python"\nno_such_field: 3', "line 2"),
        ('name: "other" backend: "python"', "'other'"),
        ("max_batch_size: 4", "neither a backend nor a platform"),
        ('backend: "python" max_batch_size: -1', "negative"),
        ('backend: "onnxruntime" input { name: "x" data_type: TYPE_FP64 dims: [4] }', "FP64"),
        ('backend: "onnxruntime" default_model_filename: "net.onnx"', "net.onnx"),
    ],
)
def test_a_configuration_that_is_wrong(stub: Any, name: str, text: str, said: str) -> None:
    files = [onnx_file(stub), pb.File(path="config.pbtxt", digest=put(stub, text.encode()))]
    failed = refusal(lambda: create(stub, name, *files))
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "INVALID_MODEL_FILE")
    assert said in failed.message


def test_a_configuration_that_says_nothing_of_tensors_needs_a_signature(stub: Any, name: str) -> None:
    files = [
        pb.File(path="model.py", digest=put(stub, b"# nothing")),
        pb.File(path="config.pbtxt", digest=put(stub, b'backend: "python"')),
    ]
    assert refusal(lambda: create(stub, name, *files)).reason == "SIGNATURE_REQUIRED"
    signature = pb.Signature(outputs=[pb.Tensor(name="o", datatype="FP32", shape=[1])])
    assert create(stub, name, *files, signature=signature).signature == signature


def test_a_given_configuration_of_an_onnx_file(stub: Any, name: str) -> None:
    config = pb.File(path="config.pbtxt", digest=put(stub, b'backend: "onnxruntime" max_batch_size: 2'))
    made = create(stub, name, onnx_file(stub), config)
    assert list(made.signature.inputs[0].shape) == [4]
    assert made.serving.max_batch_size == 2
    failed = refusal(lambda: create(stub, name, onnx_file(stub), config, serving=pb.Serving(instances=3)))
    assert failed.fields == ("version.serving",)


# --- what can be done to a version ----------------------------------------------------------------------------------


def test_description_and_labels_change_and_nothing_else(stub: Any, name: str) -> None:
    made = create(stub, name, onnx_file(stub), description="one", labels={"a": "1"})
    change = pb.Version(name=made.name, description="two", labels={"b": "2"})
    found = stub.UpdateVersion(pb.UpdateVersionRequest(version=change, update_fields=["labels"]))
    assert (found.description, dict(found.labels), found.digest) == ("one", {"b": "2"}, made.digest)
    failed = refusal(lambda: stub.UpdateVersion(pb.UpdateVersionRequest(version=change, update_fields=["files"])))
    assert failed.fields == ("update_fields",)


def test_aliases(stub: Any, name: str) -> None:
    first, second = create(stub, name, onnx_file(stub)), create(stub, name, onnx_file(stub, 2.0))

    def point(alias: str, number: int, expected: int = 0) -> pb.Model:
        return stub.SetAlias(  # type: ignore[no-any-return]
            pb.SetAliasRequest(model=f"models/{name}", alias=alias, version=number, expected_version=expected)
        )

    assert dict(point("stable", 1, -1).aliases) == {"stable": 1}
    stable = pb.GetVersionRequest(name=f"models/{name}/versions/stable")
    assert stub.GetVersion(stable).aliases == ["stable"]
    failed = refusal(lambda: point("stable", 2, -1))
    assert (failed.code, failed.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert refusal(lambda: point("stable", 2, 2)).reason == "ETAG_MISMATCH"
    assert dict(point("stable", 2, 1).aliases) == {"stable": 2}
    again = point("stable", 2, 1)  # the first answer was lost
    assert (dict(again.aliases), again.etag) == ({"stable": 2}, point("stable", 2).etag)
    assert stub.GetVersion(stable).name == second.name
    assert refusal(lambda: stub.DeleteVersion(pb.DeleteVersionRequest(name=second.name))).reason == "VERSION_IN_USE"
    assert stub.DeleteVersion(pb.DeleteVersionRequest(name=first.name)).HasField("delete_time")
    assert refusal(lambda: point("old", 1)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: point("old", 9)).reason == "VERSION_NOT_FOUND"
    for bad in ("latest", "Stable", "a/b", "", "1", "x" * 64):
        assert refusal(lambda b=bad: point(b, 2)).fields == ("alias",)  # type: ignore[misc]
    gone = stub.DeleteAlias(pb.DeleteAliasRequest(model=f"models/{name}", alias="stable"))
    assert not gone.aliases
    failed = refusal(lambda: stub.GetVersion(stable))
    assert (failed.code, failed.reason) == ("NOT_FOUND", "ALIAS_NOT_FOUND")


def test_holds(stub: Any, name: str) -> None:
    made = create(stub, name, onnx_file(stub))
    put_hold = pb.PutHoldRequest(version=made.name, holder="models/x/deployments/1")
    first = stub.PutHold(put_hold)
    assert stub.PutHold(put_hold) == first
    assert [hold.holder for hold in stub.GetVersion(pb.GetVersionRequest(name=made.name)).holds] == [first.holder]
    assert refusal(lambda: stub.DeleteVersion(pb.DeleteVersionRequest(name=made.name))).reason == "VERSION_IN_USE"
    for _ in range(2):
        stub.DeleteHold(pb.DeleteHoldRequest(version=made.name, holder=first.holder))
    stub.DeleteVersion(pb.DeleteVersionRequest(name=made.name))
    assert refusal(lambda: stub.PutHold(put_hold)).reason == "VERSION_NOT_FOUND"


def test_deleted_and_brought_back(stub: Any, name: str) -> None:
    first, second = create(stub, name, onnx_file(stub)), create(stub, name, onnx_file(stub, 2.0))
    gone = stub.DeleteVersion(pb.DeleteVersionRequest(name=second.name))
    assert gone.HasField("delete_time")
    latest = pb.GetVersionRequest(name=f"models/{name}/versions/latest")
    assert stub.GetVersion(latest).name == first.name
    assert create(stub, name, onnx_file(stub, 2.0)).number == 3
    failed = refusal(lambda: stub.UndeleteVersion(pb.UndeleteVersionRequest(name=second.name)))
    assert failed.reason == "VERSION_EXISTS"
    stub.DeleteVersion(pb.DeleteVersionRequest(name=f"models/{name}/versions/3"))
    back = stub.UndeleteVersion(pb.UndeleteVersionRequest(name=second.name))
    assert not back.HasField("delete_time")
    assert stub.GetVersion(latest).name == second.name


def test_unknown_versions_are_not_found(stub: Any, name: str) -> None:
    create(stub, name, onnx_file(stub))
    for which, reason in (("2", "VERSION_NOT_FOUND"), ("stable", "ALIAS_NOT_FOUND")):
        failed = refusal(lambda w=which: stub.GetVersion(pb.GetVersionRequest(name=f"models/{name}/versions/{w}")))  # type: ignore[misc]
        assert (failed.code, failed.reason) == ("NOT_FOUND", reason)
    failed = refusal(lambda: stub.GetVersion(pb.GetVersionRequest(name=f"models/{name}-x/versions/1")))
    assert failed.reason == "MODEL_NOT_FOUND"
    for bad in ("0", "01", "-1", "99999999999", "Stable", "../1"):
        request = pb.GetVersionRequest(name=f"models/{name}/versions/{bad}")
        assert refusal(lambda r=request: stub.GetVersion(r)).reason in {"INVALID_FIELD", "VERSION_NOT_FOUND"}  # type: ignore[misc]
