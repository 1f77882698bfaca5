"""How whoever runs the job judges the merged model: by the same rows in the same form as its members were."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from bmase.training import Batch, Cases

from services.trainer.ensembles import graphs
from services.trainer.ensembles.adapt import Columns
from services.trainer.recipes.ensemble import rows
from services.trainer.recipes.ensemble.recipe import EnsembleParameters

KEY = "bmase.ensemble.columns"
MODEL = "model.onnx"


def note(
    model: onnx.ModelProto, columns: Mapping[str, Columns], asked: EnsembleParameters, named: Sequence[str]
) -> None:
    """Writes into the model which columns it is fed from, and what classes are called, for `cases`."""
    said = {"inputs": columns, "target": asked.target, "classes": asked.classes, "named": named, "task": asked.task}
    model.metadata_props.add(key=KEY, value=json.dumps(said, sort_keys=True))


def cases(batch: Batch, folder: Path) -> Cases:
    """See `Product.cases`."""
    model = onnx.load(folder / MODEL)
    said = json.loads(next(each.value for each in model.metadata_props if each.key == KEY))
    inputs = {}
    for value in graphs.inputs(model):
        port = graphs.port(value)
        assert port is not None
        inputs[port.name] = rows.fed(port, tuple(said["inputs"][port.name]), batch)
    target = np.asarray(batch[said["target"]])
    if said["task"] == "classification":
        return Cases(inputs, {"labels": rows.truth(target, said["classes"], said.get("named", ()))})
    return Cases(inputs, {"targets": target.astype(np.float64)})
