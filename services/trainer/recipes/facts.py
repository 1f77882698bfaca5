"""What the inputs and outputs of a recipe's model mean, kept in the ONNX file itself: it is at hand wherever that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

FILE = "model.onnx"
KEY = "bmase.recipe"


def write(model: onnx.ModelProto, folder: Path, facts: Mapping[str, Any]) -> Path:
    """`model.onnx` in the folder, with `facts`; equal models and facts give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.helper.set_model_props(model, {KEY: json.dumps(facts, sort_keys=True)})
    onnx.checker.check_model(model)
    path = folder / FILE
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def facts_of(folder: Path) -> dict[str, Any]:
    """What was written with the model of a folder."""
    model = onnx.load(folder / FILE, load_external_data=False)
    found: dict[str, Any] = json.loads(next(each.value for each in model.metadata_props if each.key == KEY))
    return found
