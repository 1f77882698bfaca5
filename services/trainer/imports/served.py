"""The converted model, asked what the original was asked, in a process of its own as well: onnxruntime can die of a
question.

`python -m services.trainer.imports.served REQUEST`. An LSTM that is given no rows aborts the whole process, for
example.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from services.trainer.imports.cell import ARRAYS, kept, main, starved, words
from services.trainer.imports.request import Request


def ask(request: Request, folder: Path) -> dict[str, Any]:
    """One thread: the figures of an answer must not depend on the machine."""
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(request.model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    arrays: dict[str, Any] = {}
    probes = []
    with np.load(request.examples, allow_pickle=False) as given:
        for number, asked in enumerate(request.asked):
            entry: dict[str, Any] = {"name": str(number), "inputs": {}}
            try:
                inputs = {name: _fed(given[key]) for name, key in asked.items()}
                entry["outputs"] = kept(arrays, dict(zip(names, session.run(names, inputs), strict=True)))
            except Exception as error:
                if starved(error):
                    raise
                entry["refused"] = words(error)[:300]
            probes.append(entry)
    np.savez(folder / ARRAYS, **arrays)
    return {"probes": probes}


def _fed(array: Any) -> Any:
    return array.astype(object) if array.dtype.kind in "US" else array


if __name__ == "__main__":
    main(sys.argv[1], ask)
