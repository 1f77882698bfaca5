"""One ONNX model of the encoding and the estimator, and the proof that it answers as the library does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from bmase.reasons import Reason
from bmase.training import Batch
from onnx import TensorProto, compose, helper

from services.kit.errors import DomainError
from services.trainer.recipes.export import bare
from services.trainer.recipes.tabular.data import NUMBERS, OUTPUTS, UNKNOWN, Encoding
from services.trainer.recipes.tabular.recipe import Tabular

OPSET, ML_OPSET, IR_VERSION = 15, 3, 8  # the newest that the converters of all three libraries know
ML = "ai.onnx.ml"
MATRIX = "matrix"


def write(estimator: Any, asked: Tabular, encoding: Encoding, features: int, path: Path) -> None:
    """Inputs as `Encoding.inputs`; output: probabilities (rows, classes), or prediction (rows, 1); float32."""
    inside = _prefix(encoding)
    inner = compose.add_prefix(_converted(estimator, asked, features), inside)
    encoder = _encoder(encoding, inner.opset_import, inside)
    joined = compose.merge_models(encoder, inner, io_map=[(encoder.graph.output[0].name, inner.graph.input[0].name)])
    answer = inner.graph.output[-1].name
    whole = onnx.utils.Extractor(joined).extract_model([each.name for each in joined.graph.input], [answer])
    found = _renamed(bare(whole), answer, OUTPUTS[asked.task])
    found.ir_version = IR_VERSION
    onnx.checker.check_model(found, full_check=True)
    path.write_bytes(found.SerializeToString(deterministic=True))


def difference(path: Path, encoding: Encoding, rows: Batch, answers: np.ndarray, threads: int) -> float:
    """The largest one between the model's and the library's answers, regressions in units of their deviation."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    served = session.run(None, encoding.inputs(rows))[0].reshape(answers.shape)
    unit = 1.0 if answers.ndim == 2 else max(float(answers.std()), 1e-12)
    return float(np.abs(served.astype(np.float64) - answers).max()) / unit


def check(found: float, asked: Tabular) -> None:
    """INVALID_MODEL_FILE beyond the tolerance."""
    if not found <= asked.tolerance:
        message = f"the ONNX model differs from {asked.library} by {found:.3g} on validation rows"
        hint = f"The tolerance is {asked.tolerance:g}: take another library or estimator, or raise `tolerance`."
        raise DomainError(Reason.INVALID_MODEL_FILE, message, hint=hint)


def _converted(estimator: Any, asked: Tabular, features: int) -> onnx.ModelProto:
    """The estimator alone: `matrix` (rows, features) to the answers, which are its last output."""
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415
    from skl2onnx import convert_sklearn, update_registered_converter  # noqa: PLC0415
    from skl2onnx.common import shape_calculator as shapes  # noqa: PLC0415
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    regression = asked.task == "regression"
    shape = (
        shapes.calculate_linear_regressor_output_shapes
        if regression
        else shapes.calculate_linear_classifier_output_shapes
    )
    if asked.library != "sklearn":
        convert = convert_xgboost if asked.library == "xgboost" else convert_lightgbm
        options = {} if regression else {"nocl": [True, False], "zipmap": [True, False, "columns"]}
        name = f"bmase{type(estimator).__name__}"
        update_registered_converter(type(estimator), name, shape, convert, options=options | {"split": None})
    found = convert_sklearn(
        estimator,
        initial_types=[(MATRIX, FloatTensorType([None, features]))],
        options=None if regression else {id(estimator): {"zipmap": False}},
        target_opset={"": OPSET, ML: ML_OPSET},
        final_types=None,
        name="estimator",
    )
    _settle(found)
    return found


def _prefix(encoding: Encoding) -> str:
    """Of all names inside the graph: columns, whose names are those of inputs, may be called like anything there."""
    prefix = "inside."
    while any(name.startswith(prefix) for name in encoding.categories):
        prefix += "."
    return prefix


def _settle(model: onnx.ModelProto) -> None:
    """The converters say the lowest versions that will do, each its own: with the same ones, models can be merged.

    Operators of ai.onnx.ml 3 have all that 1 and 2 have, and those that the converters use are the same up to OPSET.
    """
    versions = {each.domain: each.version for each in model.opset_import} | {"": OPSET, ML: ML_OPSET}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(versions.items()))


def _renamed(model: onnx.ModelProto, old: str, new: str) -> onnx.ModelProto:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
    for value in model.graph.output:
        if value.name == old:
            value.name = new
    return model


def _encoder(encoding: Encoding, opsets: Sequence[onnx.OperatorSetIdProto], inside: str) -> onnx.ModelProto:
    """The inputs as one matrix, in the versions that the estimator has; `inside` begins all names but theirs."""
    middle, matrix = f"{inside}middle", f"{inside}{MATRIX}_joined"
    inputs, nodes, parts = [], [], []
    if encoding.numbers:
        inputs.append(helper.make_tensor_value_info(NUMBERS, TensorProto.FLOAT, ["rows", encoding.width]))
        parts.append(NUMBERS)
    for place, (name, values) in enumerate(encoding.categories.items()):
        inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING, ["rows", 1]))
        parts.append(f"{inside}encoded{place}")
        nodes += _onehot(name, values, parts[-1], middle) if encoding.onehot else [_ordinal(name, values, parts[-1])]
    nodes.append(helper.make_node("Concat", parts, [matrix], axis=1))
    output = helper.make_tensor_value_info(matrix, TensorProto.FLOAT, ["rows", None])
    axis = [helper.make_tensor(middle, TensorProto.INT64, [1], [1])] if encoding.onehot else []
    graph = helper.make_graph(nodes, "encoder", inputs, [output], axis)
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _onehot(name: str, values: tuple[str, ...], output: str, middle: str) -> list[onnx.NodeProto]:
    """(rows, 1) texts to (rows, values); what is not known to zeros."""
    wide = f"{output}_wide"
    encoder = helper.make_node("OneHotEncoder", [name], [wide], domain=ML, cats_strings=list(values), zeros=1)
    return [encoder, helper.make_node("Squeeze", [wide, middle], [output])]


def _ordinal(name: str, values: tuple[str, ...], output: str) -> onnx.NodeProto:
    places = [float(place) for place in range(len(values))]
    return helper.make_node(
        "LabelEncoder",
        [name],
        [output],
        domain=ML,
        keys_strings=list(values),
        values_floats=places,
        default_float=UNKNOWN,
    )
