"""What is wrong is refused with the right status and reason, at the gateway's address, and nobody else notices."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from bmase.gateway.v1 import route_pb2, route_pb2_grpc
from bmase.patcher.v1 import deployment_pb2, deployment_pb2_grpc
from bmase.registry.v1 import registry_pb2, registry_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tritonclient.grpc import service_pb2 as oip
from tritonclient.grpc import service_pb2_grpc

from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.onnx_models import affine
from tests.support.suite import Suite

MODEL, NUMBERS = "victim", (2.0, 1.0)
INJECTIONS = [
    "../../etc/passwd", "a/b", "a\\b", "..", "", " ", "a b", "A", "-a", "a-", "ä", "a\x00b", "a\nb", 'a"b', "a'b",
    "]]..os.execute('x')..[[", "%s%n", "{{x}}", "%(x)s", "${x}", "a" * 10_000,
]  # fmt: skip
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def served(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite with one good model, which is still answered rightly when all this is over."""
    version = Catalogue(tmp_path_factory.mktemp("models")).serve(suite, MODEL, *NUMBERS)
    with Load(suite.address, MODEL, {version: NUMBERS}, clients=1, pause=0.05) as load:
        yield suite
    load.assert_no_failures()
    suite.client.undeploy(MODEL, version, force=True, timeout=60)


@pytest.fixture
def channel(served: Suite) -> Iterator[grpc.Channel]:
    """A plain channel to the gateway, without a size limit of its own."""
    with grpc.insecure_channel(served.address, [("grpc.max_send_message_length", -1)]) as made:
        yield made


def refused(call: Any, *arguments: Any) -> tuple[str, str, str]:
    """(status, reason, text) of a call that must fail."""
    with pytest.raises(grpc.RpcError) as failure:
        call(*arguments, timeout=20)
    error: Any = failure.value
    return error.code().name, _reason(error), error.details() or ""


def _reason(error: Any) -> str:
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "bmase"
            return str(info.reason)
    return ""


def request(**changes: Any) -> oip.ModelInferRequest:
    """A right request for the model, but for what is changed."""
    given = {
        "model": MODEL,
        "version": "",
        "name": "x",
        "datatype": "FP32",
        "shape": [1, 4],
        "raw": b"\0" * 16,
        **changes,
    }
    made = oip.ModelInferRequest(model_name=given["model"], model_version=given["version"])
    made.inputs.add(name=given["name"], datatype=given["datatype"], shape=given["shape"])
    made.raw_input_contents.append(given["raw"])
    return made


def infer(channel: grpc.Channel) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer


def test_the_right_request_is_answered(channel: grpc.Channel) -> None:
    assert infer(channel)(request(), timeout=10).model_name == MODEL


def test_an_unknown_model(channel: grpc.Channel) -> None:
    status, _, text = refused(infer(channel), request(model="no-such-model"))
    assert status == "NOT_FOUND"
    assert "no-such-model" in text or "model" in text


@pytest.mark.parametrize("version", ["99", "0", "-1", "x", "1.0", "9" * 40])
def test_an_unknown_version(channel: grpc.Channel, version: str) -> None:
    status, _, text = refused(infer(channel), request(version=version))
    assert status in ("NOT_FOUND", "INVALID_ARGUMENT")
    assert text


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": [1, 3], "raw": b"\0" * 12},
        {"shape": [4], "raw": b"\0" * 16},
        {"shape": [1, 4], "raw": b"\0" * 15},
        {"shape": [1, -4]},
        {"shape": [2**62, 4]},
        {"datatype": "INT32"},
        {"datatype": "NOPE"},
        {"name": "z"},
        {"raw": b""},
    ],
    ids=str,
)
def test_a_wrong_tensor(channel: grpc.Channel, wrong: dict[str, Any]) -> None:
    status, _, text = refused(infer(channel), request(**wrong))
    assert status == "INVALID_ARGUMENT", (status, text)
    assert text


def test_a_message_beyond_the_limit(channel: grpc.Channel) -> None:
    """Just over the gateway's 64 MiB."""
    big = request(shape=[5_000_000, 4], raw=b"\0" * 80_000_000)
    status, _, _ = refused(infer(channel), big)
    assert status == "RESOURCE_EXHAUSTED"


def test_a_malformed_protobuf_on_the_inference_port(channel: grpc.Channel) -> None:
    for garbage in (b"\xff\xff\xff\xff", b"\x0a\xff\x01abc", bytes(range(256))):
        status, _, _ = refused(channel.unary_unary(INFER), garbage)
        assert status in ("INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND"), status


def test_a_malformed_protobuf_on_the_api(channel: grpc.Channel) -> None:
    for method in ("/bmase.registry.v1.RegistryService/CreateModel", "/bmase.gateway.v1.RouteService/GetRoute"):
        status, _, _ = refused(channel.unary_unary(method), b"\xff\xff\xff\xff")
        assert status in ("INVALID_ARGUMENT", "INTERNAL"), (method, status)


def test_an_unknown_method(channel: grpc.Channel) -> None:
    assert refused(channel.unary_unary("/bmase.registry.v1.RegistryService/Nope"), b"")[0] == "UNIMPLEMENTED"
    assert refused(channel.unary_unary("/no.such.Service/Method"), b"")[0] in ("UNIMPLEMENTED", "NOT_FOUND")


@pytest.mark.parametrize("name", INJECTIONS, ids=lambda name: repr(name[:20]))
def test_names_that_try_something(channel: grpc.Channel, name: str) -> None:
    registry = registry_pb2_grpc.RegistryServiceStub(channel)
    model = registry_pb2.Model(name=f"models/{name}")
    status, reason, _ = refused(registry.CreateModel, registry_pb2.CreateModelRequest(model=model))
    assert (status, reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    routes = route_pb2_grpc.RouteServiceStub(channel)
    assert refused(routes.GetRoute, route_pb2.GetRouteRequest(name=f"routes/{name}"))[:2] == (status, reason)
    # On the data path a name is only looked up: it is unknown, or too long for a header.
    found = refused(infer(channel), request(model=name))
    assert found[0] in ("NOT_FOUND", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), found


@pytest.mark.parametrize("weights", [{}, {1: 0}, {1: 1_000_001}, {0: 1}, {1: 1, 99: 1}], ids=str)
def test_bad_weights(channel: grpc.Channel, weights: dict[int, int]) -> None:
    versions = [route_pb2.WeightedVersion(version=v, weight=w) for v, w in weights.items()]
    routes = route_pb2_grpc.RouteServiceStub(channel)
    set_weights = route_pb2.SetWeightsRequest(name=f"routes/{MODEL}", versions=versions)
    status, reason, _ = refused(routes.SetWeights, set_weights)
    expected = (
        ("FAILED_PRECONDITION", "VERSION_NOT_DEPLOYED") if 99 in weights else ("INVALID_ARGUMENT", "INVALID_FIELD")
    )
    assert (status, reason) == expected


def test_a_deployment_of_what_does_not_exist(channel: grpc.Channel) -> None:
    deployments = deployment_pb2_grpc.DeploymentServiceStub(channel)

    def create(name: str) -> tuple[str, str]:
        wanted = deployment_pb2.CreateDeploymentRequest(deployment=deployment_pb2.Deployment(name=name))
        return refused(deployments.CreateDeployment, wanted)[:2]

    assert create("models/nobody/deployments/1")[0] == "NOT_FOUND"
    assert create(f"models/{MODEL}/deployments/77") == ("NOT_FOUND", "VERSION_NOT_FOUND")
    assert create("models/x/y/deployments/1") == ("INVALID_ARGUMENT", "INVALID_FIELD")


def _upload(stub: registry_pb2_grpc.RegistryServiceStub, content: bytes, told: bytes | None = None) -> Any:
    digest = "sha256:" + hashlib.sha256(content if told is None else told).hexdigest()
    started = stub.StartUpload(registry_pb2.StartUploadRequest(digest=digest, size_bytes=len(content)), timeout=10)
    if started.complete:
        return started
    first = registry_pb2.WriteArtefactRequest(upload_id=started.id, offset=started.offset)
    return stub.WriteArtefact(iter([first, registry_pb2.WriteArtefactRequest(data=content)]), timeout=10)


def test_what_was_sent_is_not_what_was_announced(channel: grpc.Channel) -> None:
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    with pytest.raises(grpc.RpcError) as failure:
        _upload(stub, b"what was sent", told=b"what was told")
    assert _reason(failure.value) == "DIGEST_MISMATCH"


def test_a_truncated_upload_is_kept_but_makes_no_version(channel: grpc.Channel) -> None:
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    content = b"only half of this arrives" * 100
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    started = stub.StartUpload(registry_pb2.StartUploadRequest(digest=digest, size_bytes=len(content)), timeout=10)
    half = [
        registry_pb2.WriteArtefactRequest(upload_id=started.id, offset=0),
        registry_pb2.WriteArtefactRequest(data=content[:1000]),
    ]
    after = stub.WriteArtefact(iter(half), timeout=10)
    assert (after.offset, after.complete) == (1000, False)
    files = [registry_pb2.File(path="model.onnx", digest=digest)]
    create = registry_pb2.CreateVersionRequest(
        parent="models/half", version=registry_pb2.Version(files=files), create_model=True
    )
    assert refused(stub.CreateVersion, create)[:2] == ("NOT_FOUND", "ARTEFACT_NOT_FOUND")


def test_an_onnx_file_that_is_none(served: Suite, channel: grpc.Channel) -> None:
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    for content in (b"this is no model", affine().SerializeToString()[:-7]):
        uploaded = _upload(stub, content)
        files = [registry_pb2.File(path="model.onnx", digest=uploaded.digest)]
        create = registry_pb2.CreateVersionRequest(
            parent="models/broken", version=registry_pb2.Version(files=files), create_model=True
        )
        assert refused(stub.CreateVersion, create)[:2] == ("INVALID_ARGUMENT", "INVALID_MODEL_FILE")


def test_an_onnx_file_that_does_not_load_fails_its_deployment_only(served: Suite, tmp_path: Path) -> None:
    """It parses, its signature can be read, and ONNX Runtime refuses it."""
    model = affine()
    model.graph.node[0].op_type, model.graph.node[0].domain = "NoSuchOperator", "org.example"
    model.opset_import.add(domain="org.example", version=1)
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    version = served.client.push("unloadable", file).number
    served.client.deploy("unloadable", version, wait=False)

    def failed() -> bool:
        return served.client.deployments.get("unloadable", version).reason == "LOAD_FAILED"

    served.until(failed, "the deployment failed", 60)
    deployment = served.client.deployments.get("unloadable", version)
    assert deployment.state == deployment_pb2.Deployment.STATE_FAILED
    assert "NoSuchOperator" in deployment.message or any("NoSuchOperator" in p.message for p in deployment.placements)
    served.client.undeploy("unloadable", version, force=True, timeout=60)


def test_http_errors_are_json_with_the_right_status(served: Suite) -> None:
    def ask(method: str, path: str, body: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(served.address, timeout=10)
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    assert ask("POST", "/v2/models/no-such-model/infer", "{}")[0] == 404
    assert ask("POST", f"/v2/models/{MODEL}/versions/99/infer", "{}")[0] in (400, 404)
    # What reaches a node is answered by Triton, which says 500 to what it cannot parse.
    status, body = ask("POST", f"/v2/models/{MODEL}/infer", "this is no JSON")
    assert (status, "parse" in body["error"]) == (500, True)
    assert ask("GET", "/api/v1/models/no-such-model")[0] == 404
    status, body = ask("POST", "/api/v1/models", json.dumps({"name": "models/../x"}))
    assert status == 400
    assert body["message"]
    assert ask("GET", "/v2/models/..%2f..%2fetc/ready")[0] in (400, 404)


def test_the_sdk_gives_errors_with_reasons(served: Suite) -> None:
    from bmase.errors import NotFound  # noqa: PLC0415

    with pytest.raises(NotFound) as missing:
        served.client.versions.get(MODEL, 99)
    assert missing.value.reason == "VERSION_NOT_FOUND"
    with pytest.raises(NotFound):
        served.client.infer("no-such-model", {"x": np.ones((1, 4), np.float32)})
