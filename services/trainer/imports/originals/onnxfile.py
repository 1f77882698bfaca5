"""ONNX itself: brought to our opset and one file, and held against the file as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from services.trainer.imports.originals.original import Original, versions
from services.trainer.imports.request import Request


def opened(request: Request) -> Original:
    return _Onnx(Path(request.model))


class _Onnx(Original):
    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415

        onnxruntime.set_default_logger_severity(3)
        self.model = onnx.load(str(path))  # external data from beside it: no path of theirs leads out of its folder
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        opsets = ", ".join(f"{each.domain or 'ai.onnx'} {each.version}" for each in self.model.opset_import)
        self._origin = {
            "opsets": opsets,
            "producer": f"{self.model.producer_name} {self.model.producer_version}".strip(),
        }

    @property
    def origin(self) -> dict[str, str]:
        return {**self._origin, **versions("onnx", "onnxruntime")}

    def convert(self, target: Path) -> None:
        onnx.save_model(self.model, str(target), save_as_external_data=False)

    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(self.session.run(None, dict(inputs)))
