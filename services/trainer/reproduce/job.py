"""The job "reproduce": a version made again, and a verdict that is kept as evidence; nothing is registered."""

from __future__ import annotations

import os
from pathlib import Path

from bmase.training import Product

from services.trainer import environments
from services.trainer.engine import packing
from services.trainer.recipes.recipe import AloneRun
from services.trainer.reproduce.again import STEPS, How, reproduce
from services.trainer.reproduce.made import CODE, Made, made_of
from services.trainer.reproduce.verdict import REPRODUCES, Outcome, Verdict

SNAPSHOTS = "BMASE_TRAINER_SNAPSHOTS"
VERDICT = "verdict.json"


def main(run: AloneRun) -> None:
    """Where environments are kept between jobs is told by the trainer's environment, as is where data are that were not
    kept in the trainer's own store.
    """
    (material,) = run.materials
    version = made_of(material)
    how = How(
        environments=environments.folder(),
        bundle=unpacked_code(version, run.folder / "bundle"),
        snapshots=os.environ.get(SNAPSHOTS) or run.snapshots,
        told=lambda step, message: run.report(step, total=STEPS, message=message),
    )
    verdict = reproduce(version, run.folder / "again", how)
    run.report(STEPS, total=STEPS, message=verdict.sentence[:200])
    for line in lines(material.name, verdict):
        print(line)
    run.finish(product_of(material.name, verdict, run.folder))


def lines(name: str, verdict: Verdict) -> list[str]:
    """For people, in the log of the job: the sentence, where the two part, what is not the same in their records."""
    told = [f"{name}: {verdict.sentence}"]
    told += [f"  {each.evidence}: {each.sentence}" for each in verdict.divergences]
    return [*told, *(f"  {each.part}: {each.sentence}" for each in verdict.changes)]


def product_of(name: str, verdict: Verdict, folder: Path) -> Product:
    """No task, so nothing is evaluated; the note says which version it is about and how it ended."""
    kept = folder / "verdict"
    kept.mkdir()
    (kept / VERDICT).write_text(verdict.model_dump_json(indent=1))
    reproduced = verdict.outcome is not Outcome.DIFFERENT
    note = {"version": name, "outcome": verdict.outcome.value, "passed": reproduced, "sentence": verdict.sentence}
    return Product(kept, evidence={VERDICT: kept / VERDICT}, description=verdict.sentence, notes={REPRODUCES: note})


def unpacked_code(version: Made, folder: Path) -> Path | None:
    """The user's own code among the evidence; None for versions of our recipes."""
    archive = version.evidence / CODE
    if not archive.is_file():
        return None
    packing.unpack(archive, folder)
    return folder
