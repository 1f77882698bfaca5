"""Attempts of a job with a lock, and what their processes say."""

from __future__ import annotations

from pathlib import Path

from services.kit.decode import ModelRef
from services.trainer.engine.attempt import LOCK, Attempt, Go, Prepared, Said
from services.trainer.engine.process import Process
from services.trainer.jobs.spec import Bundle, Spec
from services.trainer.recipes.recipe import Place
from tests.support.jobs import CODE

TINY = """
import sys
from importlib.util import find_spec
import tiny

def main(run):
    print(f"tiny {tiny.VALUE}, torch {find_spec('torch')}, python {sys.executable}")
    run.finish(stepper.product(run.folder))

import stepper
"""


def attempt(folder: Path, lock: str, address: str = "") -> Path:
    """Of a job that imports `tiny`; the folder that its driver is given."""
    folder = folder / "j1" / "1"
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "stepper.py").write_text(CODE)
    (code / "train.py").write_text(TINY)
    (folder / LOCK).write_text(lock)
    nothing = "sha256:" + "0" * 64
    spec = Spec(
        model=ModelRef("m"), bundle=Bundle(digest=nothing, entry_point="train:main"), environment_digest=nothing
    )
    Attempt(
        job="j1",
        number=1,
        model="m",
        spec=spec,
        main="train:main",
        place=Place.WORKERS,
        parameters={},
        blobs=(folder.parents[1] / "blobs").as_uri(),
        address=address,
        code=code,
        lock=folder / LOCK,
    ).write(folder)
    return folder


async def said_by(process: Process) -> list[Said]:
    """All of it; told at once to evaluate."""
    found = []
    async for each in process.said():
        found.append(each)
        if isinstance(each, Prepared):
            await process.go(Go())
    await process.ended()
    return found
