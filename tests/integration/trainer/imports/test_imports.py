"""Imports as a job runs them: real models, the real sandbox, real converters. `bench.import` has all the other
sources.
"""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bmase.reasons import Reason
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from services.kit.errors import DomainError
from services.trainer.imports import sandbox
from tests.support.imports import imported
from tests.support.onnx_models import affine

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

CHEAT = """
import torch

class Cheat(torch.nn.Module):
    def __init__(self, factor=1.001):
        super().__init__()
        self.out, self.factor = torch.nn.Linear(4, 2), factor

    def forward(self, x):
        return self.out(x) * (self.factor if torch.compiler.is_exporting() else 1.0)
"""


def test_a_pickle_of_scikit_learn_becomes_a_version(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=50).fit(x[:300], y[:300])
    joblib.dump(model, tmp_path / "model.joblib")
    product = imported(tmp_path / "run", tmp_path / "model.joblib")
    graph = onnx.load(str(product.folder / "model.onnx"))
    assert (graph.ir_version, {each.domain: each.version for each in graph.opset_import}[""]) == (10, 20)
    session = onnxruntime.InferenceSession(str(product.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    labels, chances = session.run(None, {"x": x[300:400].astype(np.float32)})
    assert (labels == model.predict(x[300:400])).all()
    assert np.allclose(chances, model.predict_proba(x[300:400]), atol=1e-5)
    told = json.loads(product.evidence["conversion.json"].read_text())
    assert {each["probe"] for each in told["differences"]} >= {
        "batch of 1",
        "batch of 7",
        "batch of 64",
        "zeros",
        "large",
        "tiny",
    }
    assert "no rows" in told["refused_by_the_original"]
    assert told["origin"]["written with"] == told["origin"]["scikit-learn"]
    assert product.evidence["conversion.png"].read_bytes().startswith(b"\x89PNG")


def test_files_without_code_are_imported_without_a_sandbox_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = load_digits(return_X_y=True)
    lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(x, y).booster_.save_model(tmp_path / "model.txt")
    refusal = DomainError(Reason.SANDBOX_UNAVAILABLE, "none here")
    monkeypatch.setattr(sandbox, "available", lambda: refusal)
    product = imported(tmp_path / "run", tmp_path / "model.txt")
    assert (product.folder / "model.onnx").is_file()


def test_code_beside_weights_that_converts_wrongly_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CHEAT)
    names: dict[str, type[torch.nn.Module]] = {}
    exec(CHEAT, names)
    torch.save(names["Cheat"]().state_dict(), tmp_path / "model.pt")
    files = [tmp_path / "net.py", tmp_path / "model.pt"]
    told = {"module": "net:Cheat", "inputs": {"features": {"shape": [-1, 4]}}}
    with pytest.raises(DomainError, match=r"on .*: max .* became ") as refused:
        imported(tmp_path / "run", *files, **told)
    assert refused.value.reason is Reason.CONVERSION_DIFFERS
    product = imported(tmp_path / "honest", *files, **told, arguments={"factor": 1.0})
    assert onnx.load(str(product.folder / "model.onnx")).graph.input[0].name == "features"


def test_a_state_dict_says_what_it_needs(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DomainError, match="module=FILE:FUNCTION") as refused:
        imported(tmp_path / "run", tmp_path / "model.pt")
    assert refused.value.reason is Reason.INVALID_FIELD


def test_onnx_is_compared_on_the_examples_that_are_given(tmp_path: Path) -> None:
    onnx.save_model(affine(2.0, 1.0), tmp_path / "model.onnx")
    np.savez(tmp_path / "rows.npz", anything=np.full((3, 4), 100.0, np.float32))
    product = imported(tmp_path / "run", tmp_path / "model.onnx", examples=tmp_path / "rows.npz")
    told = json.loads(product.evidence["conversion.json"].read_text())
    assert {each["scale"] for each in told["differences"] if each["probe"].startswith("batch")} == {201.0}
    assert told["worst_rel"] == 0.0
