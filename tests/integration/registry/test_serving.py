"""What the registry makes of an ONNX file is served by a real Triton as it stands, and as its signature says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as tc
from bmase.registry.v1 import registry_pb2 as pb
from onnx import helper

from tests.support.onnx_models import affine, model, port
from tests.support.registry import Registry, get, put
from tests.support.triton import Triton

Shape = list[int | str]


def doubling(shape: Shape) -> onnx.ModelProto:
    """y = x + x."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return model([node], [port("x", "FP32", shape)], [port("y", "FP32", shape)])


MODELS = {
    "batched": (doubling(["batch", 3]), (3,), 32),
    "open": (doubling(["batch", "length"]), (5,), 32),
    "one-number-an-item": (doubling(["batch"]), (1,), 32),
    "fixed": (doubling([1, 4]), (1, 4), 0),
    "scalar": (doubling([]), (1,), 0),
}


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("triton"), extra=["--no-auto-complete"]).start(models=[])
    yield server
    server.kill()


def lay_out(registry: Registry, version: pb.Version, folder: Path) -> None:
    """Where an agent puts the files."""
    for file in version.files:
        inside = folder if file.role == pb.File.ROLE_CONFIG else folder / str(version.number)
        target = inside / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(get(registry.stub, file.digest))


def create(registry: Registry, name: str, made: onnx.ModelProto) -> pb.Version:
    file = pb.File(path="model.onnx", digest=put(registry.stub, made.SerializeToString()))
    version = pb.Version(files=[file])
    request = pb.CreateVersionRequest(parent=f"models/{name}", version=version, create_model=True)
    return registry.stub.CreateVersion(request)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", MODELS)
def test_a_version_is_served_as_its_signature_says(registry: Registry, triton: Triton, name: str, kind: str) -> None:
    made, shape, batch = MODELS[kind]
    create(registry, name, affine(7.0))
    version = create(registry, name, made)
    assert (version.number, version.serving.max_batch_size) == (2, batch)
    lay_out(registry, version, triton.repository / name)
    declared = version.signature.inputs[0].shape
    assert all(want in (-1, got) for want, got in zip(declared, shape, strict=True))
    with triton.client() as client:
        client.load_model(name)
        sent = (2, *shape) if batch else shape
        x = tc.InferInput("x", list(sent), "FP32")
        values = np.arange(np.prod(sent), dtype=np.float32).reshape(sent)
        x.set_data_from_numpy(values)
        answer = client.infer(name, [x], model_version="2")
        assert answer.as_numpy("y").shape == tuple(sent)
        np.testing.assert_array_equal(answer.as_numpy("y"), values * 2)
        assert not client.is_model_ready(name, "1")
        client.unload_model(name)
