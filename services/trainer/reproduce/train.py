"""One training, by its record, under the Python that this runs with:

    python -m services.trainer.reproduce.train RECORD OUT [--bundle FOLDER] [--snapshots URL]

RECORD is a file; OUT must not exist, and gets `files` and `evidence`. The process has to be started with the
environment that the record's plan names. Progress goes to standard output, one line of JSON each. Exit code 2 and a
last line with the error on standard output: the record asks for something that is not there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from bmase.training import Product, Run

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.reproduce import determinism
from services.trainer.reproduce.code import Code, read_code
from services.trainer.reproduce.data import sources
from services.trainer.reproduce.heldout import questions
from services.trainer.reproduce.machine import observe_lock
from services.trainer.reproduce.made import HELD_OUT, RECORD, SERIES, write_series
from services.trainer.reproduce.observe import observe_worker
from services.trainer.reproduce.platform import FOLDER, platform_files, recipe_code
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.rows import RecordRun


def train(record: Record, out: Path, bundle: Path | None = None, snapshots: str = "") -> None:
    """InvalidArgument for a training that this program cannot repeat; otherwise whatever the code raises."""
    if record.resources.workers > 1:
        raise InvalidArgument([Violation("record.resources.workers", "more than one needs the trainer's engine")])
    set_before = determinism.apply(record.determinism.plan)
    code = code_now(record, bundle)
    with tempfile.TemporaryDirectory(prefix="bmase-run-") as scratch:
        run = RecordRun(record, Path(scratch), sources(record, snapshots), tell)
        _main(code.entry, bundle)(run)
        if run.product is None:
            raise InvalidArgument([Violation("code", f"{code.entry} ended without finish(): it gave no product")])
        _keep(run, run.product, out)
    worker = observe_worker(set_before)
    now = record.model_copy(
        update={
            "code": code,
            "environment": observe_lock(check=False),  # its files were read when it was built
            "machine": worker.machine,
            "determinism": worker.determinism,
        }
    )
    (out / "evidence" / RECORD).write_text(now.to_json())


def code_now(record: Record, bundle: Path | None) -> Code:
    """The code as it is here. What the platform ran the recorded one with is looked up by the same names."""
    if record.recipe:
        return recipe_code(record.code.entry, _run_by(record))
    if bundle is None:
        raise InvalidArgument([Violation("bundle", "the recorded code was a user's own, and its folder is not given")])
    return Code(
        files=(*read_code(bundle, record.code.entry).files, *platform_files(_run_by(record))), entry=record.code.entry
    )


def _run_by(record: Record) -> tuple[str, ...]:
    """Modules of the platform that are in the record, so that those which only some trainings have are covered too."""
    paths = (file.path for file in record.code.files if file.path.startswith(f"{FOLDER}/"))
    names = (path.removeprefix(f"{FOLDER}/").removesuffix(".py").removesuffix("/__init__") for path in paths)
    return tuple(name.replace("/", ".") for name in names)


def _main(entry: str, bundle: Path | None) -> Callable[[Run], None]:
    if bundle is not None:
        sys.path.insert(0, str(bundle))
    module, _, function = entry.partition(":")
    found: Callable[[Run], None] = getattr(importlib.import_module(module), function)
    return found


def _keep(run: RecordRun, product: Product, out: Path) -> None:
    evidence = out / "evidence"
    evidence.mkdir(parents=True)
    shutil.copytree(product.folder, out / "files")
    (evidence / SERIES).write_text(write_series(run.series))
    if asked := questions(product, run):
        np.savez(evidence / HELD_OUT, **asked)  # type: ignore[arg-type]


def tell(step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
    """One line for whoever started this."""
    print(json.dumps({"step": step, "total": total, "message": message, "metrics": metrics}), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--snapshots", default="")
    given = parser.parse_args(argv)
    try:
        train(Record.from_json(given.record.read_bytes()), given.out, given.bundle, given.snapshots)
    except DomainError as error:
        print(json.dumps({"reason": error.reason, "error": error.message, "hint": error.hint}), flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
