"""Explainers on the whole platform: beside the model, behind its route, called by any client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from bmase.errors import NotFound, TimedOut
from bmase.explaining.maker import INSTANCES
from onnx import helper, numpy_helper
from tritonclient.utils import InferenceServerException

from tests.support.onnx_models import model, port
from tests.support.suite import Suite

MODEL, EXPLAINER = "planted", "planted.explain"
WIDTH = 6
PLANTED = {1: 2, 2: 4}  # version -> the feature that it looks at
ROWS = np.random.default_rng(0).normal(size=(200, WIDTH)).astype(np.float32)
NAMES = ["age", "weight", "height", "income", "rooms", "floor"]


def planted(feature: int) -> onnx.ModelProto:
    """y = tanh(0.1 * the sum of all + 3 * one feature), FP32 [batch, 6] to [batch, 1]."""
    weights = np.full((WIDTH, 1), 0.1, np.float32)
    weights[feature] += 3
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["score"]), helper.make_node("Tanh", ["score"], ["y"])],
        [port("x", "FP32", ["batch", WIDTH])],
        [port("y", "FP32", ["batch", 1])],
        [numpy_helper.from_array(weights, "w")],
    )


@pytest.fixture(scope="module")
def explained(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Version 1 has the traffic, version 2 is deployed beside it, and so is the explainer of both."""
    folder = tmp_path_factory.mktemp("planted")
    for number, feature in PLANTED.items():
        onnx.save(planted(feature), folder / "model.onnx")
        assert suite.client.push(MODEL, folder / "model.onnx").number == number
        suite.client.deploy(MODEL, number, timeout=60)
    np.savez(folder / "rows.npz", x=ROWS)
    create = ["explain", "create", f"{MODEL}@1", "--background", str(folder / "rows.npz"), "--deploy"]
    made = suite.cli(*create, "--names", f"x={','.join(NAMES)}")
    assert (made["name"], made["lineage"]["parent_version"]) == (
        f"models/{EXPLAINER}/versions/1",
        f"models/{MODEL}/versions/1",
    )
    return suite


def ask(suite: Suite, rows: np.ndarray, **parameters: Any) -> Mapping[str, np.ndarray]:
    """By a client that knows nothing of us."""
    tensor = triton.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    with triton.InferenceServerClient(suite.address) as client:
        answer = client.infer(EXPLAINER, [tensor], parameters=parameters)
        return {out.name: answer.as_numpy(out.name) for out in answer.get_response().outputs}


def test_shares_sum_up_to_the_answer_and_the_planted_feature_is_first(explained: Suite) -> None:
    rows = ROWS[:8]
    found = ask(explained, rows, version=1)
    answers = explained.client.infer(MODEL, {"x": ROWS[:32]}, 1)["y"]
    spread = float(answers.max() - answers.min())
    gap = found["base"] + found["x.attribution"].sum(axis=1, keepdims=True) - found["explained"]
    assert np.abs(gap).max() <= 1e-3 * spread
    np.testing.assert_allclose(found["explained"], answers[:8], atol=1e-6)
    sums = np.abs(found["x.attribution"]).mean(axis=0)
    assert sums.argmax() == PLANTED[1]


def test_it_follows_the_route_of_the_model(explained: Suite) -> None:
    for version in (1, 2, 1):
        explained.client.routes.set_weights(MODEL, {version: 100})
        found = ask(explained, ROWS[:1] * 0 + 0.4)
        assert found["version"].tolist() == [[version]]
        assert np.abs(found["x.attribution"]).argmax() == PLANTED[version]


def test_on_a_split_route_each_explanation_is_of_one_version(explained: Suite) -> None:
    explained.client.routes.set_weights(MODEL, {1: 50, 2: 50})
    row, seen = np.full((1, WIDTH), 0.4, np.float32), set()
    right = {v: explained.client.infer(MODEL, {"x": row}, v)["y"] for v in PLANTED}
    for _ in range(30):
        found = ask(explained, row)
        version = int(found["version"].item())
        seen.add(version)
        assert np.abs(found["x.attribution"]).argmax() == PLANTED[version]
        np.testing.assert_allclose(found["explained"], right[version], atol=1e-6)
    assert seen == {1, 2}


def test_requests_choose_version_background_and_method(explained: Suite) -> None:
    row = np.full((1, WIDTH), 0.4, np.float32)
    assert ask(explained, row, version=2)["version"].item() == 2
    alone = ask(explained, row, version=1, method="occlusion")
    assert np.abs(alone["x.attribution"]).argmax() == PLANTED[1]
    own = explained.client.infer(EXPLAINER, {"x": row, "background.x": np.zeros_like(row)}, parameters={"version": 1})
    assert own["base"].item() == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"version": 9}, "the model 'planted' gave no answer to explain: nothing is served"),
        ({"output_index": 1}, "output_index is 1, but the output has 1 values"),
        ({"samples": "many"}, "samples has to be a whole number, not 'many'"),
    ],
)
def test_what_cannot_be_explained_says_why(explained: Suite, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        ask(explained, ROWS[:1], **parameters)
    assert words in str(caught.value)


def test_perturbed_rows_are_neither_samples_nor_evidence(explained: Suite) -> None:
    explained.client.routes.set_weights(MODEL, {1: 100})
    explained.cli("monitor", "capture", MODEL, "--opt-in", "--percent", "100")
    sent = [np.full((1, WIDTH), value, np.float32) for value in (0.25, 0.75)]

    def samples() -> list[Any]:
        return explained.cli("monitor", "samples", MODEL)

    def arrived(value: np.ndarray) -> bool:
        explained.client.infer(MODEL, {"x": value})
        return bool(samples())

    explained.until(lambda: arrived(sent[0]), "samples of the traffic")
    before = len(samples())
    ask(explained, ROWS[:3])
    explained.client.infer(MODEL, {"x": sent[1]})
    explained.until(lambda: len(samples()) > before, "the request after the explanation")
    kept = samples()
    assert len(kept) < before + 10, "an explanation sends hundreds of rows"


def test_an_explanation_that_nobody_waits_for_ends(explained: Suite) -> None:
    """As many as there are instances would take minutes; the next client does not wait for them."""
    rows = np.repeat(ROWS[:1], 2_000, axis=0)
    for _ in range(INSTANCES):
        with pytest.raises(TimedOut):
            explained.client.infer(EXPLAINER, {"x": rows}, timeout=1)
    explained.client.infer(EXPLAINER, {"x": ROWS[:1]}, timeout=20)


def test_it_loads_before_its_model_does_and_says_what_is_missing(explained: Suite, tmp_path: Path) -> None:
    onnx.save(planted(0), tmp_path / "model.onnx")
    explained.client.push("later", tmp_path / "model.onnx")
    np.savez(tmp_path / "rows.npz", x=ROWS[:4])
    explained.cli("explain", "create", "later", "--background", str(tmp_path / "rows.npz"), "--deploy")
    asked = {"x": np.full((1, WIDTH), 0.4, np.float32), "background.x": np.zeros((1, WIDTH), np.float32)}
    with pytest.raises(NotFound, match="the model 'later' gave no answer to explain"):
        explained.client.infer("later.explain", asked)
    explained.client.deploy("later", 1, timeout=60)
    assert explained.client.infer("later.explain", asked)["x.attribution"].argmax() == 0


def test_on_the_command_line(explained: Suite, tmp_path: Path) -> None:
    explained.client.routes.set_weights(MODEL, {1: 100})
    drawn = tmp_path / "why.png"
    row = "x=0.4,0.4,0.4,0.4,0.4,0.4"
    done = explained.run("explain", MODEL, "--input", row, "--picture", str(drawn))
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[1].split()
    assert first[:2] == ["height", "0.4"]
    assert "planted version 1: y[0]" in done.stderr
    assert drawn.read_bytes().startswith(b"\x89PNG")
    told = explained.cli("explain", MODEL, "--input", row, "--version", "2")
    assert told[0]["version"] == 2
    assert told[0]["shares"][0]["name"] == "rooms"
    total = told[0]["base"] + sum(share["share"] for share in told[0]["shares"])
    assert total == pytest.approx(told[0]["explained"], abs=1e-6)


def test_a_model_without_explainer_says_how_to_make_one(explained: Suite) -> None:
    done = explained.run("explain", MODEL, "--input", "x=1,2,3,4,5,6", "--explainer", "no-such", "--json")
    assert done.returncode == 3
    error = json.loads(done.stderr)["error"]
    assert "bmase explain create planted" in error["hint"]
