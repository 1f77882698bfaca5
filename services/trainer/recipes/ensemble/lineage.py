"""What versions of the registry record of their trainings."""

from __future__ import annotations

from bmase.training.run import TRAIN, VALIDATION

from services.kit.errors import DomainError
from services.trainer.data import Part
from services.trainer.ensembles.provenance import Finding, Lineage, Standing, Used, examine
from services.trainer.recipes.ensemble.recipe import EnsembleParameters
from services.trainer.recipes.recipe import AloneRun, Material
from services.trainer.reproduce.made import RECORD, made_of


def weighing(asked: EnsembleParameters) -> tuple[str, ...]:
    """The parts whose rows choose the weights."""
    return (VALIDATION,) if asked.tune_on == "validation" else (TRAIN, VALIDATION)


def findings(run: AloneRun, asked: EnsembleParameters) -> dict[str, Finding]:
    """On each member, by its name."""
    known = run.parted()
    if known is None:
        nothing = Finding(Standing.UNKNOWN, "these rows lie in no files that its record could name")
        return {material.name: nothing for material in run.materials}
    used = Used(*known, tuple(map(Part, weighing(asked))))
    return {material.name: examine(lineage(material), used) for material in run.materials}


def lineage(material: Material) -> Lineage:
    """Of its record; one that is absent, of another program or changed says nothing."""
    made, said = made_of(material), material.version.lineage
    if not (made.evidence / RECORD).is_file():
        came = f" (it came by {said.source})" if said.source else ""
        return Lineage(missing=f"it has no record of its training{came}", stated=said.data_digest)
    try:
        record = made.record()
    except DomainError as error:
        return Lineage(missing=f"its record cannot be used: {error.message[:200]}", stated=said.data_digest)
    return Lineage(record.recipe, record.data)
