"""Text, language, recommendation at small size: as good as plain scripts, exact after a loss, alike for two workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as grpc_client

from services.trainer.evaluation.answers import Classification, Language, Ranking
from services.trainer.evaluation.evaluate import evaluate
from tests.integration.trainer.recipes import plain
from tests.support import recipe_data, recipes
from tests.support.ports import free_ports
from tests.support.recipes import Trained, content, named, train
from tests.support.triton import Triton

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

TEXT, LANGUAGE, RECOMMENDATION = "text-classification", "language-model", "recommendation"
NAMES = (TEXT, LANGUAGE, RECOMMENDATION)
ASKED: dict[str, dict[str, Any]] = {
    TEXT: {"epochs": 4, "batch": 16, "max_length": 32, "learning_rate": 2e-3, "head_learning_rate": 5e-3},
    LANGUAGE: {"epochs": 10, "batch": 8, "layers": 1, "width": 32, "heads": 2, "context": 32, "learning_rate": 1e-2},
    RECOMMENDATION: {
        "rating": "rating",
        "relevant_from": 3,
        "epochs": 12,
        "patience": 0,  # so that the last step is the last of the plan
        "batch": 64,
        "dimensions": 16,
        "learning_rate": 2e-2,
    },
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of all three, and the encoder."""
    folder = tmp_path_factory.mktemp("recipes")
    recipe_data.reviews(folder / f"{TEXT}.parquet")
    recipe_data.documents(folder / f"{LANGUAGE}.parquet")
    recipe_data.likes(folder / f"{RECOMMENDATION}.parquet")
    recipe_data.encoder(folder / "encoder")
    return folder


def asked(name: str, home: Path, **more: Any) -> dict[str, Any]:
    return {**ASKED[name], **({"encoder": str(home / "encoder")} if name == TEXT else {}), **more}


@pytest.fixture(scope="module")
def trained(home: Path) -> dict[str, Trained]:
    """Each recipe's training, never interrupted, with checkpoints at odd places."""
    return {
        name: train(name, home / f"{name}.parquet", asked(name, home), home / name, every=every)
        for name, every in ((TEXT, 37), (LANGUAGE, 101), (RECOMMENDATION, 101))
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_on_after_a_loss_is_the_same_as_what_was_never_lost(
    name: str, trained: dict[str, Trained], tmp_path: Path
) -> None:
    whole = trained[name]
    first = sorted(whole.checkpoints.iterdir())[0]
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(first, tmp_path / "checkpoints")
    again = train(name, whole.data, whole.parameters, tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    assert again.metrics[0]["step"] == int(first.stem.removeprefix("step-")) + 1
    assert content(again.folder) == content(whole.folder)


def test_text_is_as_good_as_a_plain_script(trained: dict[str, Trained], home: Path) -> None:
    mine = trained[TEXT]
    cases, outputs = mine.ask()
    answers = Classification(cases.truth["labels"], outputs["probabilities"], classes=mine.product.classes)
    assert mine.product.classes == ("no", "yes")
    reached = evaluate(answers).metrics["accuracy"]
    assert reached >= plain.text(mine.data, home / "encoder", epochs=4) - 0.05
    assert reached >= 0.9


def test_a_language_model_is_as_good_as_a_plain_script(trained: dict[str, Trained]) -> None:
    mine = trained[LANGUAGE]
    cases, outputs = mine.ask()
    reached = evaluate(Language(**named(mine.product.answers)(cases, outputs))).metrics["perplexity"]
    script, unigram = plain.language(mine.data, epochs=10)
    assert reached <= script * 1.25
    assert reached <= unigram / 2


def test_recommendation_is_as_good_as_a_plain_script(trained: dict[str, Trained]) -> None:
    mine = trained[RECOMMENDATION]
    cases, outputs = mine.ask()
    relevance = cases.truth["relevance"]
    reached = evaluate(Ranking(relevance, outputs["scores"])).metrics["ndcg@10"]
    script, popular = plain.recommendation(
        mine.data, cases.inputs["user"][:, 0], relevance, masked=outputs["scores"] < -1e8
    )
    assert reached >= script - 0.05
    assert reached >= popular + 0.1


def test_what_a_user_had_is_not_recommended(trained: dict[str, Trained]) -> None:
    mine = trained[RECOMMENDATION]
    items = (mine.folder / "evidence" / "items.csv").read_text().splitlines()[1:]
    session = onnxruntime.InferenceSession(mine.folder / "model.onnx")
    scores = session.run(["scores"], {"user": np.array([[1000], [5]], np.int64)})[0]
    had = plain.had(mine.data, 1000)
    assert {items[place].split(",")[1] for place in np.flatnonzero(scores[0] < -1e8)} == had
    assert (scores[1] > -1e8).all()  # nobody knows user 5, who gets what most people like
    assert len(np.unique(scores[1])) > 1


def test_the_metrics_of_each_epoch_are_reported(trained: dict[str, Trained]) -> None:
    for name, metric in ((TEXT, "val_accuracy"), (LANGUAGE, "val_perplexity"), (RECOMMENDATION, "val_ndcg@10")):
        told = [each for each in trained[name].metrics if metric in each]
        assert len(told) == ASKED[name]["epochs"] or name == RECOMMENDATION
        assert len(told) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_answers_as_torch_does(name: str, trained: dict[str, Trained], home: Path) -> None:
    cases, outputs = trained[name].ask()
    expected = plain.of_torch(name, trained[name], cases.inputs)
    for output, values in expected.items():
        np.testing.assert_allclose(outputs[output], values, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def shared(home: Path) -> Path:
    """Each recipe's product of an epoch, by two workers who drop nothing at random: what they drop is not the same."""
    recipe_data.encoder(home / "still", dropout=0.0)
    jobs = [(name, str(home / f"{name}.parquet"), still(name, home), str(home / f"{name}-two")) for name in NAMES]
    (home / "jobs.json").write_text(json.dumps(jobs))
    (port,) = free_ports(1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-P", recipes.__file__, home / "jobs.json"]  # a neighbour of it is called triton
    workers = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE) for rank in range(2)
    ]
    try:
        for worker in workers:
            _, told = worker.communicate(timeout=600)
            assert worker.returncode == 0, told.decode()[-3000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return home


def still(name: str, home: Path) -> dict[str, Any]:
    dropped = {TEXT: {"dropout": 0.0, "encoder": str(home / "still")}, RECOMMENDATION: {"dropout": 0.0}}
    return {**asked(name, home), **dropped.get(name, {}), "epochs": 1}


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_learn_what_one_learns(name: str, shared: Path, tmp_path: Path) -> None:
    alone = train(name, shared / f"{name}.parquet", still(name, shared), tmp_path / "alone")
    cases, outputs = alone.ask()
    session = onnxruntime.InferenceSession(shared / f"{name}-two" / "model.onnx")
    for output, values in outputs.items():
        np.testing.assert_allclose(session.run([output], dict(cases.inputs))[0], values, atol=2e-3, rtol=2e-3)


@pytest.fixture(scope="module")
def server(trained: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Everything that the trainings left, as it is, each with a configuration that only names it."""
    triton = Triton(tmp_path_factory.mktemp("triton"))
    for name, each in trained.items():
        shutil.copytree(each.folder, triton.repository / name / "1")
        (triton.repository / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n')
    yield triton.start(models=NAMES)
    triton.stop()


@pytest.mark.parametrize("name", NAMES)
def test_triton_serves_the_product(name: str, trained: dict[str, Trained], server: Triton) -> None:
    cases, outputs = trained[name].ask()
    inputs = []
    for key, values in cases.inputs.items():
        assert values.dtype == np.int64
        inputs.append(grpc_client.InferInput(key, values[:3].shape, "INT64"))
        inputs[-1].set_data_from_numpy(np.ascontiguousarray(values[:3]))
    with server.client() as client:
        answer = client.infer(name, inputs)
    for output, values in outputs.items():
        np.testing.assert_allclose(answer.as_numpy(output), values[:3], atol=1e-4, rtol=1e-4)
