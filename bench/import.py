"""Does a foreign model answer the same after its import, and how fast? And are attacks and wrong conversions refused?

    .venv/bin/python -m bench.import [--only torch] [--calls 40]

Models of every source, most of them trained on the spot, go through the recipe "import" as a job would run it: sandbox,
conversion, comparison over all outputs and edge batches. `max` and `mean` are the worst over those, relative to the
scale of the output they are of: the largest number that the original gives there for ordinary batches, or in that batch
if that is larger. Probes that a model was told not to be judged on are left out of `max` and named. Latencies are
medians for batches of 4 rows, one caller, one thread each: the original in this process, and a real Triton over gRPC on
this machine. The last line is one JSON object. `worst_rel_diff` is the largest `max` of all models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import tritonclient.grpc as grpc_client
from bmase.reasons import Reason
from tritonclient.utils import np_to_triton_dtype

from bench.import_models import Foreign, beside, everything
from bench.support.foreign_modules import Cheat
from bench.support.results import finish
from services.kit.errors import DomainError
from tests.support import attacks
from tests.support.imports import imported
from tests.support.triton import Triton

BATCH = 4
HEAD = f"{'source':13} {'model':31} {'max':>8} {'mean':>8} {'original':>9} {'served':>8}  remarks"


def one(foreign: Foreign, folder: Path, triton: Triton, calls: int) -> dict[str, Any]:
    """Imports and serves it."""
    name = f"{foreign.source}-{foreign.name}".lower().translate(str.maketrans(" ,()", "----"))
    examples = _examples(foreign, folder / f"{name}.npz") if foreign.examples else None
    product = imported(folder / name, *foreign.files, examples=examples, **foreign.parameters)
    told = json.loads(product.evidence["conversion.json"].read_text("utf-8"))
    judged = [each for each in told["differences"] if not each["unjudged"]]
    served = _served(triton, name, product.folder / "model.onnx", foreign.rows, calls)
    return {
        "source": foreign.source,
        "model": foreign.name,
        "max_rel": max(each["rel"] for each in judged),
        "mean_rel": max(each["mean_abs"] / each["scale"] if each["scale"] else 0.0 for each in judged),
        "original_ms": _median(lambda: foreign.ask(_batch(foreign.rows)), calls) if foreign.ask else None,
        "served_ms": served,
        "probes": len({each["probe"] for each in judged}),
        "unjudged": sorted({each["probe"] for each in told["differences"] if each["unjudged"] and not each["within"]}),
        "refused_by_the_original": sorted(told["refused_by_the_original"]),
    }


def _examples(foreign: Foreign, path: Path) -> Path:
    np.savez(path, **foreign.rows)
    return path


def _batch(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array[:BATCH]) for name, array in rows.items()}


def _served(triton: Triton, name: str, model: Path, rows: Mapping[str, np.ndarray], calls: int) -> float:
    """Median milliseconds of a batch through Triton, whose answer has to be onnxruntime's own."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    given = dict(zip(names, _batch(rows).values(), strict=True))
    place = triton.repository / name
    (place / "1").mkdir(parents=True)
    (place / "1" / "model.onnx").write_bytes(model.read_bytes())
    (place / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n', "utf-8")
    triton.load(name)
    inputs = []
    for key, array in given.items():
        text = array.dtype.kind in "US"
        entry = grpc_client.InferInput(key, list(array.shape), "BYTES" if text else np_to_triton_dtype(array.dtype))
        entry.set_data_from_numpy(array.astype(object) if text else array)
        inputs.append(entry)
    fed = {key: array.astype(object) if array.dtype.kind in "US" else array for key, array in given.items()}
    with triton.client() as client:
        answer = client.infer(name, inputs, client_timeout=60)
        for each, wanted in zip(session.get_outputs(), session.run(None, fed), strict=True):
            got = answer.as_numpy(each.name)
            assert np.allclose(got, wanted, rtol=1e-4, atol=1e-4), f"{name}: Triton's {each.name} is not onnxruntime's"
        took = _median(lambda: client.infer(name, inputs, client_timeout=60), calls)
    triton.unload(name)
    return took


def _median(act: Callable[[], Any], calls: int) -> float:
    act()
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


def wrong_conversion(folder: Path) -> str:
    """A module that answers a thousandth more while it is exported; the message that refuses it, empty if nothing
    does.
    """
    path = folder / "cheat" / "model.pt"
    path.parent.mkdir()
    torch.save(Cheat().state_dict(), path)
    told = {"module": "foreign_modules:Cheat", "inputs": {"x": {"shape": [-1, 64]}}}
    return refused(Reason.CONVERSION_DIFFERS, lambda: imported(folder / "wrong", path, beside(path), **told))


def malicious_pickles(folder: Path) -> dict[str, str]:
    """By what each tries: the message that refuses it; empty if nothing does, or if it left its mark."""
    said = {}
    mark = folder / "mark"
    for number, (name, content) in enumerate({**attacks.pickles(mark), **attacks.bombs()}.items()):
        path = folder / f"attack-{number}" / "model.pkl"
        path.parent.mkdir()
        path.write_bytes(content)
        wanted = Reason.CONVERSION_FAILED if name in attacks.bombs() else Reason.UNSAFE_PICKLE
        words = refused(wanted, lambda n=number, p=path: imported(folder / f"try-{n}", p, memory_gib=1, seconds=10))
        said[name] = "" if mark.exists() else words
    return said


def refused(reason: Reason, act: Callable[[], Any]) -> str:
    """What refused it, if it was for this reason."""
    try:
        act()
    except DomainError as error:
        return error.message if error.reason is reason else ""
    return ""


def line(row: Mapping[str, Any]) -> str:
    own = f"{row['original_ms']:6.2f} ms" if row["original_ms"] is not None else "-"
    remarks = f"not judged: {', '.join(row['unjudged'])}" if row["unjudged"] else ""
    figures = f"{row['max_rel']:8.1e} {row['mean_rel']:8.1e} {own:>9} {row['served_ms']:5.2f} ms"
    return f"{row['source']:13} {row['model']:31} {figures}  {remarks}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="sources whose name holds this")
    parser.add_argument("--calls", type=int, default=40)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bmase-import-") as name:
        folder = Path(name)
        triton = Triton(folder / "triton")
        (folder / "triton").mkdir(exist_ok=True)
        triton.start([])
        try:
            print(HEAD, flush=True)
            for foreign in everything(folder):
                if options.only.lower() not in foreign.source.lower():
                    continue
                try:
                    rows.append(one(foreign, folder, triton, options.calls))
                    print(line(rows[-1]), flush=True)
                except DomainError as error:
                    failed.append(f"{foreign.source}, {foreign.name}: {error.message}")
                    print(failed[-1], flush=True)
        finally:
            triton.stop()
        wrong = wrong_conversion(folder)
        print(f"wrong conversion: {wrong or 'WAS TAKEN'}", flush=True)
        said = malicious_pickles(folder)
    for attack, words in said.items():
        print(f"pickle with {attack}: {words or 'WAS TAKEN'}", flush=True)
    finish(
        "import",
        {
            "models": len(rows),
            "worst_rel_diff": max((row["max_rel"] for row in rows), default=None),
            "wrong_conversion_refused": bool(wrong),
            "malicious_pickle_refused": all(said.values()),
            "malicious_pickles": len(said),
            "failed": failed,
            "batch": BATCH,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
