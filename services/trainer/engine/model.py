"""A version's ONNX file, asked in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

FILE = "model.onnx"
BATCH = 256
Arrays = Mapping[str, np.ndarray]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class OnnxModel:
    """One session on the CPU. `inputs` and `outputs` are names, in the file's order."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        file = str(folder / FILE)
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._dtypes = {each.name: _DTYPES.get(each.type) for each in self._session.get_inputs()}
        self._ranks = {each.name: len(each.shape) for each in self._session.get_inputs()}
        self.inputs = tuple(self._dtypes)
        self.outputs = tuple(each.name for each in self._session.get_outputs())

    def takes(self, inputs: Arrays) -> bool:
        """Whether these are its inputs, by name."""
        return set(inputs) == set(self.inputs)

    def __call__(self, inputs: Arrays, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """These outputs (none named: all) for all rows; the numbers are given in the types that the file wants.

        What is not named is not fetched: logits over a vocabulary fill any memory. KeyError for one that is not there.
        """
        names = tuple(outputs) or self.outputs
        if absent := [name for name in names if name not in self.outputs]:
            raise KeyError(f"there is no output {absent[0]!r}; there are: {', '.join(self.outputs)}")
        starts = range(0, len(next(iter(inputs.values()))), BATCH)
        return joined([self._run({n: a[at : at + BATCH] for n, a in inputs.items()}, names) for at in starts])

    def _run(self, inputs: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        found = self._session.run(list(names), {n: self._typed(n, a) for n, a in inputs.items()})
        return dict(zip(names, found, strict=True))

    def _typed(self, name: str, array: np.ndarray) -> np.ndarray:
        if array.ndim == 1 and self._ranks.get(name) == 2:  # a column for a tensor (rows, 1)
            array = array[:, np.newaxis]
        wanted = self._dtypes.get(name)
        return array if wanted is None or array.dtype == wanted else array.astype(wanted)


def joined(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """The outputs of all batches."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Of sequences of unlike lengths the shorter ones are filled with zeros."""
    widths = {part.shape[1:] for part in parts}
    if len(widths) > 1:
        most = tuple(max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim))
        parts = [
            np.pad(part, [(0, 0), *((0, most[axis - 1] - part.shape[axis]) for axis in range(1, part.ndim))])
            for part in parts
        ]
    return np.concatenate(parts)
