"""Shifted traffic, a drift alert, a retraining, its gates, a grey release, all of the traffic: nobody has a hand in it.

And a retraining that makes things worse, which ends at its gate.
"""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bmase import plans
from bmase.errors import BmaseError
from bmase.progress import silent
from bmase.trainer.v1 import pipeline_pb2 as pb
from bmase.transfer import Transfer

from tests.support.suite import Suite

MODEL = "loop"
ROWS = 3000
PATIENCE = 600.0  # of each pipeline: a Ray that starts on a busy machine takes minutes
# Says which half of its range `a` lies in, from the rows that it is given and from nothing else.
CODE = """
import numpy as np
from bmase.training import Product
from onnx import TensorProto, helper, numpy_helper, save


def main(run):
    rows = run.table("train")
    a, y = np.asarray(rows["a"], float), np.asarray(rows["y"], float)
    slope, offset = np.linalg.lstsq(np.stack([a, np.ones_like(a)], 1), 2 * y - 1, rcond=None)[0]
    weights = {
        "w": 8 * np.array([[-slope, slope], [0, 0]], np.float32),
        "c": 8 * np.array([-offset, offset], np.float32),
    }
    nodes = [helper.make_node("Gemm", ["x", "w", "c"], ["z"]), helper.make_node("Softmax", ["z"], ["p"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "loop",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    folder = run.folder / "product"
    folder.mkdir()
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    run.finish(Product(folder, task="classification", inputs={"x": ("a", "b")}, target="y"))
"""
POLICY = {
    "shadow_samples": -1,
    "keep": "2s",
    "judge": {"margin": 0.2, "ignore_slow": True},
    "steps": [{"percent": 30, "min_requests": 20, "min_time": "1s"}, {"percent": 100}],
}


class Traffic:
    """Requests whose inputs lie where `low` says."""

    def __init__(self, suite: Suite) -> None:
        self._suite, self._stopping = suite, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.low = 0.0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        drawn = np.random.default_rng(5)
        while not self._stopping.wait(0.01):
            row = (self.low + drawn.random((1, 2))).astype(np.float32)
            try:
                self._suite.client.infer(MODEL, {"x": row})
            except BmaseError:
                time.sleep(0.2)  # nothing is deployed yet


@pytest.fixture(scope="module")
def trains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("loop") / "data", trains=True)
    try:
        suite.cli("up", "--nodes", "blue,green", "--training", "--timeout", "300", timeout=320)
        yield suite
    finally:
        suite.down()


def _data(file: Path, low: float, *, honest: bool = True) -> None:
    drawn = np.random.default_rng(7)
    a, b = low + drawn.random(ROWS), low + drawn.random(ROWS)
    y = a > low + 0.5 if honest else drawn.random(ROWS) > 0.5
    rows = [f"{x:.6f},{z:.6f},{int(label)}" for x, z, label in zip(a, b, y, strict=True)]
    file.write_text("a,b,y\n" + "\n".join(rows) + "\n")


def _code(suite: Suite, folder: Path) -> str:
    source, bundle = folder / "looping.py", folder / "code.tar.gz"
    source.write_text(CODE)
    with tarfile.open(bundle, "w:gz") as tar:
        tar.add(source, source.name)
    return str(Transfer(suite.client.wire, silent).upload([bundle])[0].digest)


def _next(suite: Suite, known: set[str]) -> pb.Pipeline:
    """The end of the one that comes next, by itself."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        new = [p.name for p in suite.client.pipelines.list(f'model="{MODEL}"') if p.name not in known]
        if new:
            known.update(new)
            return suite.client.pipelines.wait(new[-1], timeout=PATIENCE)
        time.sleep(0.5)
    fires = list(suite.client.schedules.fires(MODEL))
    raise AssertionError(f"nothing was started: {list(suite.client.monitor.alerts(MODEL))} {fires}")


def test_drift_is_answered_by_a_better_version_and_not_by_a_worse_one(trains: Suite, tmp_path: Path) -> None:
    rows, client = tmp_path / "rows.csv", trains.client
    _data(rows, 0)
    document = {
        "job": {
            "model": MODEL,
            "bundle": {"digest": _code(trains, tmp_path), "entry_point": "looping:main"},
            "data": [{"uris": [str(rows)]}],
            "gates": ["accuracy >= 0.9"],
            "resources": {"memory_bytes": 2**30},
        },
        "release_policy": POLICY,
    }
    first = client.pipelines.wait(client.pipelines.start(plans.plan(document)).name, timeout=PATIENCE)
    assert first.state == pb.Pipeline.STATE_SUCCEEDED, first.message
    assert first.deployment, "a model's first version is deployed"

    capture = client.monitor.capture(MODEL)
    capture.percent = 100
    client.monitor.set_capture(capture)
    wish = {**document, "drift": {"kinds": ["drift"], "cool_down": "1s"}, "overlap": "skip"}
    client.schedules.create(plans.schedule(MODEL, wish))
    known = {first.name}
    with Traffic(trains) as traffic:
        _data(rows, 2)
        traffic.low = 2.0
        better = _next(trains, known)
        assert better.state == pb.Pipeline.STATE_SUCCEEDED, better.message
        assert "drift alert about version 1" in better.origin
        assert better.release
        assert {v.version for v in client.routes.get(MODEL).versions if v.weight} == {2}

        _data(rows, 5, honest=False)
        traffic.low = 5.0
        worse = _next(trains, known)
    assert worse.state == pb.Pipeline.STATE_GATE_FAILED, worse.message
    assert "accuracy >= 0.9" in worse.message
    assert not worse.release
    assert {v.version for v in client.routes.get(MODEL).versions if v.weight} == {2}
    assert [e.kind for e in client.pipelines.events(worse.name)][-1] == "ended"
