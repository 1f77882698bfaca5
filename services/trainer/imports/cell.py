"""The process inside: opens a foreign model, writes it as ONNX, asks it the probes, and sends both out as a tar.

`python -m services.trainer.imports.cell REQUEST`. Everything after `confine` may run code of the model. What is sent is
therefore believed by nobody; the other side (`hostile`) looks at every byte.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.trainer.imports.confine import confine
from services.trainer.imports.request import Request

REPORT, MODEL, ARRAYS = "report.json", "model.onnx", "arrays.npz"
MAX_WORDS = 1500
# Of the system, C++, torch's allocator and onnxruntime.
NO_MEMORY = (
    "cannot allocate memory",
    "bad_alloc",
    "can't allocate memory",
    "bad allocation",
    "failed to allocate memory",
)


Work = Callable[[Request, Path], dict[str, Any]]


def main(path: str, work: Work) -> None:
    """`work` fills a folder and gives a report. Standard output is the way out; what libraries print goes to
    standard error.
    """
    out = os.dup(1)
    os.dup2(2, 1)
    request = Request.read(Path(path))
    confine(request.limits, filtered=request.filtered)
    folder = Path(request.scratch) / "out"
    folder.mkdir()
    try:
        report = work(request, folder)
    except Exception as error:
        traceback.print_exc()
        for partial in folder.iterdir():
            partial.unlink()
        report = {"refused": {"kind": _kind(error), "message": words(error, request)}}
    (folder / REPORT).write_text(json.dumps(report), "utf-8")
    with os.fdopen(out, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for each in sorted(folder.iterdir()):
            archive.add(each, each.name)


def convert(request: Request, folder: Path) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    from services.trainer.imports import graph, probes  # noqa: PLC0415
    from services.trainer.imports.originals import opened  # noqa: PLC0415

    original = opened(request)
    target = folder / MODEL
    original.convert(target)
    ports, notes = graph.settle(target, original.ranges)
    arrays: dict[str, np.ndarray] = {}
    asked = []
    for probe in probes.make(ports, request.batches, request.seed, _examples(request, [port.name for port in ports])):
        entry: dict[str, Any] = {"name": probe.name, "inputs": kept(arrays, probe.inputs)}
        try:
            answers = original.answer(probe.inputs)
            entry["outputs"] = kept(arrays, dict(enumerate(answers)))
        except Exception as error:
            if starved(error):  # it says nothing of the model, and would leave the probe out
                raise
            entry["refused"] = words(error)[:300]
        asked.append(entry)
    np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
    return {"probes": asked, "origin": original.origin, "notes": [*original.notes, *notes]}


def kept(arrays: dict[str, Any], named: Mapping[Any, Any]) -> dict[str, str]:
    """Texts are kept as such: arrays of objects would be pickles."""
    import numpy as np  # noqa: PLC0415

    keys = {}
    for name, array in named.items():
        keys[str(name)] = f"a{len(arrays)}"
        flat = np.asarray(array)
        arrays[keys[str(name)]] = flat.astype(str) if flat.dtype == object else flat
    return keys


def _examples(request: Request, names: list[str]) -> dict[str, Any] | None:
    """Arrays by the names of the inputs; a single array is for a single input, whatever it is called."""
    import numpy as np  # noqa: PLC0415

    if not request.examples:
        return None
    with np.load(request.examples, allow_pickle=False) as file:
        found = {_plain(name): array for name, array in file.items()}
    if len(names) == 1 and len(found) == 1:
        return {names[0]: next(iter(found.values()))}
    missing = [name for name in names if _plain(name) not in found]
    if missing:
        raise ValueError(f"the examples have {', '.join(found)}, but the model's inputs are {', '.join(names)}")
    return {name: found[_plain(name)] for name in names}


def _plain(name: str) -> str:
    """As converters write names: what is no identifier is not kept."""
    return re.sub(r"\W", "_", name)


def _kind(error: Exception) -> str:
    return "memory" if starved(error) else {"UnsafePickle": "unsafe", "NeedsInput": "needs"}.get(_name(error), "failed")


def starved(error: BaseException) -> bool:
    """Whether memory was refused; libraries in C++ have words of their own for it."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(each in said for each in NO_MEMORY)


def words(error: BaseException, request: Request | None = None) -> str:
    """One line. With what was asked, the limit that was reached is named."""
    said = " ".join(str(error).split())
    text = said if _name(error) in {"UnsafePickle", "NeedsInput", "ValueError"} else f"{_name(error)}: {said}"
    if request is not None and starved(error):
        text = f"it needs more memory than the {request.limits.memory_bytes / 2**30:.3g} GiB that it may have ({text})"
    return text[:MAX_WORDS]


def _name(error: BaseException) -> str:
    return type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1], convert)
