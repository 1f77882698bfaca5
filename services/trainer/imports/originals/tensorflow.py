"""TensorFlow's SavedModels and Keras files, in an environment of their own (see `environments`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from services.trainer.imports.originals.original import Original, versions
from services.trainer.imports.request import Request

OPSET = 18  # the newest that tf2onnx writes; `graph` raises it
SIGNATURE = "serving_default"


def opened(request: Request) -> Original:
    return _Keras(request.model) if request.model.endswith(".keras") else _Saved(request.model)


class _TensorFlow(Original):
    """`function` takes tensors by name and gives tensors by name, in the order of `outputs`."""

    function: Any
    outputs: list[str]

    @property
    def origin(self) -> dict[str, str]:
        return {"class": type(self).__name__.strip("_"), **versions("tensorflow-cpu", "tf2onnx", "keras")}

    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        import tensorflow as tf  # noqa: PLC0415

        found = self.function(**{name: tf.constant(array) for name, array in inputs.items()})
        return [found[name].numpy() for name in self.outputs]


class _Saved(_TensorFlow):
    def __init__(self, path: str) -> None:
        import tensorflow as tf  # noqa: PLC0415

        self.path, self.loaded = path, tf.saved_model.load(path)  # kept: its variables die with it
        if SIGNATURE not in self.loaded.signatures:
            raise ValueError(
                f"the SavedModel has no signature {SIGNATURE}, only {', '.join(self.loaded.signatures) or 'none'}"
            )
        self.function = self.loaded.signatures[SIGNATURE]
        self.outputs = sorted(self.function.structured_outputs)

    def convert(self, target: Path) -> None:
        from tf2onnx import tf_loader  # noqa: PLC0415

        graph, given, outputs, names = tf_loader.from_saved_model(
            self.path, None, None, signatures=[SIGNATURE], return_tensors_to_rename=True
        )
        _write(graph, given, outputs, names, target)


class _Keras(_TensorFlow):
    def __init__(self, path: str) -> None:
        import keras  # noqa: PLC0415
        import tensorflow as tf  # noqa: PLC0415

        self.model = keras.models.load_model(path, compile=False, safe_mode=True)
        given = [tf.TensorSpec(each.shape, each.dtype, name=each.name) for each in self.model.inputs]
        self.outputs = [each.name for each in self.model.outputs] if len(self.model.outputs) > 1 else ["output"]

        def called(**named: Any) -> dict[str, Any]:
            answer = self.model([named[each.name] for each in given], training=False)
            return dict(zip(self.outputs, answer if isinstance(answer, list | tuple) else [answer], strict=True))

        self.function = tf.function(called).get_concrete_function(**{each.name: each for each in given})

    def convert(self, target: Path) -> None:
        from tf2onnx import tf_loader  # noqa: PLC0415

        given = [tensor.name for tensor in self.function.inputs if tensor.dtype.name != "resource"]
        outputs = [self.function.structured_outputs[name].name for name in self.outputs]
        names = {name: name.partition(":")[0] for name in given} | dict(zip(outputs, self.outputs, strict=True))
        _write(tf_loader.from_function(self.function, given, outputs), given, outputs, names, target)


def _write(graph: Any, given: list[str], outputs: list[str], names: Mapping[str, str], target: Path) -> None:
    """`names`: tensor of the graph -> what it is called in ONNX."""
    import tf2onnx  # noqa: PLC0415

    made, _ = tf2onnx.convert._convert_common(
        graph, name="imported", opset=OPSET, input_names=given, output_names=outputs, output_path=None,
        tensors_to_rename=dict(names),
    )  # fmt: skip
    target.write_bytes(made.SerializeToString())
