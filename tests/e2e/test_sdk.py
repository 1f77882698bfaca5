"""The SDK and the command line through the gateway, on what only a whole suite can answer."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase import NewVersion, aio, samples
from bmase.core import tensors
from bmase.errors import BmaseError, DeploymentFailed, InvalidArgument, NotFound, PreconditionFailed, TimedOut
from bmase.patcher.v1 import deployment_pb2
from PIL import Image

from tests.support import onnx_models
from tests.support.suite import BMASE, Suite

MODEL = "sdk"


@pytest.fixture
def serve(suite: Suite, tmp_path: Path) -> Iterator[Any]:
    """Pushes and deploys ONNX models; they are gone after the test."""
    served: list[tuple[str, int]] = []

    def go(name: str, model: Any, new: NewVersion | None = None, **options: Any) -> int:
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(model.SerializeToString())
        number = suite.client.push(name, file, new).number
        served.append((name, number))
        suite.client.deploy(name, number, timeout=60, **options)
        return number

    yield go
    for name, number in served:
        try:
            suite.client.undeploy(name, number, force=True, timeout=60)
        except NotFound:
            continue


def _values(datatype: str) -> tensors.Array:
    if datatype == "BYTES":
        return np.array([[b"a", b"", "ü".encode(), b"long" * 50]], dtype=object)
    if datatype == "BF16":
        return np.array([[1.5, -2.0, 0.0, 256.0]], np.float32)
    return np.array([[1, 0, 1, 100]]).astype(tensors.DTYPES[datatype])


@pytest.mark.parametrize("datatype", [*tensors.DTYPES, "BF16", "BYTES"])
def test_every_datatype_goes_in_and_out(suite: Suite, serve: Any, datatype: str) -> None:
    name = f"identity-{datatype.lower()}"
    version = serve(name, onnx_models.identity(datatype))
    values = _values(datatype)
    answer = suite.client.infer(name, {"x": values}, datatypes={"x": datatype})
    assert answer.model_version == str(version)
    assert answer["y"].tolist() == values.tolist()


@pytest.mark.anyio
async def test_the_asyncio_client_deploys_infers_and_undeploys(suite: Suite, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(onnx_models.affine(3.0).SerializeToString())
    seen: list[str] = []
    async with aio.Client(suite.address) as client:
        version = await client.push("sdk-aio", file)
        await client.deploy("sdk-aio", version.number, timeout=60, progress=lambda d: seen.append(d.name))
        assert await client.ready("sdk-aio")
        answer = await client.infer("sdk-aio", {"x": np.ones((2, 4), np.float32)})
        assert answer["y"].tolist() == [[3.0] * 4] * 2
        assert await client.live()
        assert [n.alive for n in await client.nodes.list()] == [True, True]
        gone = await client.undeploy("sdk-aio", version.number, force=True, timeout=60)
    assert gone.state == deployment_pb2.Deployment.STATE_GONE
    assert set(seen) == {"models/sdk-aio/deployments/1"}


def test_what_is_wrong_with_a_request_arrives_typed(suite: Suite, serve: Any) -> None:
    serve(MODEL, onnx_models.affine(2.0))
    good = np.ones((1, 4), np.float32)
    for kind, call in (
        (NotFound, lambda: suite.client.infer("no-such-model", {"x": good})),
        (NotFound, lambda: suite.client.infer(MODEL, {"x": good}, version=77)),
        (InvalidArgument, lambda: suite.client.infer(MODEL, {"nonsense": good})),
        (InvalidArgument, lambda: suite.client.infer(MODEL, {"x": np.ones((1, 3), np.float32)})),
        (InvalidArgument, lambda: suite.client.infer(MODEL, {"x": np.ones((1, 4), np.int64)})),
    ):
        with pytest.raises(kind):
            call()


def test_an_answer_that_takes_too_long_arrives_typed(suite: Suite, serve: Any) -> None:
    serve("sdk-slow", onnx_models.slow(4_000))
    with pytest.raises(TimedOut):
        suite.client.infer("sdk-slow", {"x": np.ones((1, 4), np.float32)}, timeout=0.02)


def test_a_version_that_answers_wrongly_is_not_deployed(suite: Suite, serve: Any) -> None:
    x = np.ones((1, 4), np.float32)
    wrong = samples.from_arrays({"input:x": x, "output:y": x * 5})
    with pytest.raises(DeploymentFailed) as failed:
        serve("sdk-wrong", onnx_models.affine(2.0), NewVersion(samples=[wrong]))
    assert failed.value.reason == "WARMUP_FAILED"
    assert "deployments get" in failed.value.hint


def test_routes_are_watched_and_changed_by_many_clients(suite: Suite, serve: Any) -> None:
    one = serve("sdk-routes", onnx_models.affine(1.0))
    two = serve("sdk-routes", onnx_models.affine(2.0))
    seen: list[dict[int, int]] = []
    enough = threading.Event()

    def watch() -> None:
        try:
            for event in suite.client.routes.watch("sdk-routes"):
                seen.append({v.version: v.weight for v in event.route.versions})
                if seen[-1] == {one: 0, two: 7}:
                    enough.set()
                    return
        except BmaseError:
            return

    thread = threading.Thread(target=watch)
    thread.start()
    before = suite.client.routes.get("sdk-routes")
    suite.client.routes.set_weights("sdk-routes", {one: 3, two: 1}, etag=before.etag)
    with pytest.raises(BmaseError) as stale:
        suite.client.routes.set_weights("sdk-routes", {one: 1}, etag=before.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
    suite.client.routes.set_weights("sdk-routes", {one: 0, two: 7})
    assert enough.wait(10)
    thread.join()
    with pytest.raises(PreconditionFailed) as in_use:
        suite.client.undeploy("sdk-routes", two)
    assert in_use.value.reason == "VERSION_IN_ROUTE"


def test_a_picture_from_the_command_line(suite: Suite, serve: Any, tmp_path: Path) -> None:
    serve("sdk-image", onnx_models.identity("FP32", ("batch", 1, 2, 2)))
    picture = Image.new("RGB", (2, 2))
    picture.putpixel((1, 0), (255, 255, 255))
    picture.resize((20, 20), Image.Resampling.NEAREST).save(tmp_path / "p.png")
    answer = suite.cli("infer", "sdk-image", "--image", str(tmp_path / "p.png"))
    (top_left, top_right), (below, _) = answer["outputs"][0]["data"][0][0]
    assert top_right > 0.8 > 0.2 > max(top_left, below)
    assert answer["outputs"][0]["shape"] == [1, 1, 2, 2]


def test_a_deployment_as_lines_of_json(suite: Suite, serve: Any) -> None:
    number = serve("sdk-watch", onnx_models.affine(1.0))
    watching = subprocess.Popen(
        [BMASE, "deployments", "watch", "sdk-watch", str(number), "--json"], env=suite.environment,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["state"] == "STATE_READY"
    suite.cli("undeploy", "sdk-watch", str(number), "--force")
    states = [json.loads(line)["state"] for line in watching.stdout]
    assert states[-1] == "STATE_GONE"
    assert "STATE_DRAINING" in states
    assert watching.wait(10) == 0
