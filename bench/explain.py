"""What does it cost that explanations are made by a served model? Local explanations a second, served and plain.

    .venv/bin/python -m bench.explain [--seconds 20] [--clients 2] [--samples 0]

The better network of the example `digits` is deployed, and its explainer beside it. Clients ask `digits.explain`
through the gateway for one digit after the other; before and after, a plain script explains the same digits with the
same method and the same background, but with ONNX Runtime in its own process, in batches as large as the served
version takes, and with one thread or several, whichever is faster now. Then a network that is known to look at one
feature is explained, and everything is checked to sum up. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tritonclient.grpc as triton
from bmase.explaining.maker import make_explainer
from bmase.explaining.portable import local, players, shapley
from onnx import helper, numpy_helper
from threadpoolctl import threadpool_limits

from bench.support.results import finish
from examples.digits import data, recipes
from examples.digits.train import SEED, train
from tests.support.onnx_models import model, port
from tests.support.suite import Suite

BACKGROUND_ROWS = 4
BATCH = 32  # the registry's default for models that take batches, and of 8 to 4,488 the fastest for this network
FEATURES, PLANTED = 12, 7
CALIBRATING = 3.0  # seconds
RANDOM = np.random.default_rng(0)


def main() -> None:
    """Runs it all on a suite of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--samples", type=int, default=0, help="coalitions an explanation; 0: the default")
    given = parser.parse_args()
    split = data.load(SEED)
    trained = train(recipes.BETTER, split, lambda *_: None)
    with tempfile.TemporaryDirectory(prefix="bmase-bench-") as scratch:
        suite = Suite(Path(scratch) / "data").up()
        try:
            finish("explain", measured(suite, Path(scratch), trained.model, split, given))
        finally:
            suite.down()


def measured(suite: Suite, scratch: Path, network: Path, split: data.Split, given: argparse.Namespace) -> dict:
    background = {"image": split.train_images[:BACKGROUND_ROWS]}
    deploy(suite, scratch, "digits", network, background)
    gaps, spread = [0.0], range_of(network, split.test_images)

    def served(index: int) -> None:
        found = ask(suite, "digits.explain", "image", split.test_images[index : index + 1], samples=given.samples)
        gaps.append(float(np.abs(gap(found, "image")).max()))

    cut = players.of({"image": split.test_images.shape[1:]})

    def script(threads: int) -> Callable[[int], None]:
        predict = in_process(network, "probabilities", threads)

        def plain(index: int) -> None:
            row = {"image": split.test_images[index]}
            with threadpool_limits(1, "blas"):  # as on a node: several take longer for a fit of this size
                local.explain(predict, row, background, cut, samples=given.samples)

        return plain

    plain = max(map(script, (1, 0)), key=lambda each: rate(each, CALIBRATING, 1))
    served(0)
    rates = {"plain": [rate(plain, given.seconds / 2, 1)]}
    rates["one"] = [rate(served, given.seconds, 1)]
    rates["many"] = [rate(served, given.seconds, given.clients)]
    rates["plain"].append(rate(plain, given.seconds / 2, 1))
    first, planted_gap = planted(suite, scratch)
    coalitions = 2 + len(
        shapley.coalitions(cut.count, given.samples or local.default_samples(cut.count), RANDOM).weights
    )
    print(f"{coalitions} coalitions with {BACKGROUND_ROWS} rows each an explanation")
    print(f"plain script: {rates['plain'][0]:.2f} and {rates['plain'][1]:.2f} a second (before and after)")
    print(f"served: {rates['one'][0]:.2f} a second by one client, {rates['many'][0]:.2f} by {given.clients}")
    return {
        "additivity_error": max(max(gaps) / spread, planted_gap),
        "planted_first": first,
        "explanations_per_s": round(rates["many"][0], 3),
        "plain_per_s": round(sum(rates["plain"]) / 2, 3),
        "explanations_per_s_one_client": round(rates["one"][0], 3),
        "clients": given.clients,
        "evaluations_per_explanation": coalitions * BACKGROUND_ROWS,
        "answers_per_s": round(rates["many"][0] * coalitions * BACKGROUND_ROWS),
    }


def deploy(suite: Suite, scratch: Path, name: str, network: Path, background: dict[str, np.ndarray]) -> None:
    version = suite.client.push(name, network)
    suite.client.deploy(name, version.number, timeout=60)
    folder = make_explainer(name, version.signature, background, f"http://{suite.address}", scratch / f"{name}.explain")
    suite.client.push(f"{name}.explain", folder)
    suite.client.deploy(f"{name}.explain", 1, timeout=60)


def ask(suite: Suite, explainer: str, name: str, rows: np.ndarray, **parameters: int) -> dict[str, np.ndarray]:
    tensor = triton.InferInput(name, list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    with triton.InferenceServerClient(suite.address) as client:
        answer = client.infer(explainer, [tensor], parameters=parameters)
        return {out.name: answer.as_numpy(out.name) for out in answer.get_response().outputs}


def gap(found: dict[str, np.ndarray], name: str) -> np.ndarray:
    """How far attributions miss explained - base, (rows,)."""
    shares = found[f"{name}.attribution"]
    sums = shares.reshape(len(shares), -1).sum(axis=1, dtype=np.float64)
    return found["base"][:, 0] + sums - found["explained"][:, 0]


def in_process(network: Path, output: str, threads: int = 1) -> Callable:
    """The network as a function; `threads` 0: as many as ONNX Runtime takes by itself."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(network, options)

    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        rows = len(next(iter(inputs.values())))
        parts = ({name: array[at : at + BATCH] for name, array in inputs.items()} for at in range(0, rows, BATCH))
        return np.concatenate([session.run([output], part)[0] for part in parts])

    return predict


def range_of(network: Path, images: np.ndarray) -> float:
    """The range of the output over the held-out digits."""
    answers = in_process(network, "probabilities")({"image": images})
    return float(answers.max() - answers.min())


def rate(explain: Callable[[int], None], seconds: float, clients: int) -> float:
    """Explanations a second, counted over those that were finished in time."""
    begun = time.monotonic()

    def work(client: int) -> list[float]:
        done, index = [], client
        while time.monotonic() < begun + seconds:
            explain(index % 500)
            done.append(time.monotonic())
            index += clients
        return done

    with ThreadPoolExecutor(clients) as threads:
        times = [moment for done in threads.map(work, range(clients)) for moment in done]
    return len(times) / (max(times) - begun)


def planted(suite: Suite, scratch: Path) -> tuple[bool, float]:
    """(whether the feature that the network looks at comes first for all rows, additivity error over the range)."""
    weights = np.full((FEATURES, 1), 0.1, np.float32)
    weights[PLANTED] = 3
    nodes = [helper.make_node("MatMul", ["x", "w"], ["score"]), helper.make_node("Tanh", ["score"], ["y"])]
    ports = [port("x", "FP32", ["batch", FEATURES])], [port("y", "FP32", ["batch", 1])]
    onnx.save(model(nodes, *ports, [numpy_helper.from_array(weights, "w")]), scratch / "planted.onnx")
    rows = np.random.default_rng(0).normal(size=(40, FEATURES)).astype(np.float32)
    deploy(suite, scratch, "planted", scratch / "planted.onnx", {"x": rows[:8]})
    found = ask(suite, "planted.explain", "x", rows[8:40])
    answers = in_process(scratch / "planted.onnx", "y")({"x": rows})
    first = np.abs(found["x.attribution"]).mean(axis=0).argmax() == PLANTED
    return bool(first), float(np.abs(gap(found, "x")).max() / (answers.max() - answers.min()))


if __name__ == "__main__":
    main()
