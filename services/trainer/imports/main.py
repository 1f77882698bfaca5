"""The recipe "import": files in, a version out, or the reason why not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bmase.reasons import Reason
from bmase.training import Product

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.imports import cells, evidence, hostile, sources, tensorflow, verdict
from services.trainer.imports.compare import Difference, Tolerance
from services.trainer.imports.confine import Limits
from services.trainer.imports.formats import TRAITS, Format, Found, Unknown, detect
from services.trainer.imports.recipe import EXAMPLES, ImportParameters
from services.trainer.imports.request import Request
from services.trainer.recipes.recipe import AloneRun

STEPS = 4
GIB = 1 << 30
# A model and the answers to its probes, as they come out.
MOST_BYTES = 4 << 30
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "config.json")


@dataclass(frozen=True)
class Imported:
    """What came of it, before it is a product."""

    found: Found
    answered: hostile.Answered
    differences: Sequence[Difference]
    tolerance: Tolerance
    digest: str


def main(run: AloneRun) -> None:
    """Raises DomainError: see the modules that do the steps."""
    parameters = ImportParameters.model_validate(dict(run.parameters))
    run.report(0, total=STEPS, message="looks at the files")
    files = sources.staged(run.files(), run.folder / "foreign")
    found = _found(files.folder, parameters.format)
    run.report(1, total=STEPS, message=f"converts {TRAITS[found.format].title}")
    request = _request(run, parameters, found)
    answered = _converted(run, request, files.folder, found)
    run.report(2, total=STEPS, message="compares the answers")
    tolerance = _tolerance(parameters, found.format)
    ask = verdict.asker(answered, run.folder / "work", request, MOST_BYTES)
    differences = verdict.differences(answered, ask, tolerance, parameters.unjudged)
    imported = Imported(found, answered, differences, tolerance, files.digest)
    run.report(3, total=STEPS, message="writes down what was found")
    kept = evidence.write(imported, run.folder / "evidence")
    verdict.hold(differences, tolerance)
    folder = run.folder / "product"
    folder.mkdir()
    shutil.copyfile(answered.model, folder / "model.onnx")
    product = Product(
        folder,
        evidence={**kept, **_tokenizer(files.folder / found.path, found.format)},
        description=evidence.description(imported),
        notes=evidence.notes(imported),
    )
    run.report(STEPS, total=STEPS, message="imported")
    run.finish(product)


def _found(folder: Path, given: str) -> Found:
    try:
        return detect(folder, given)
    except Unknown as error:
        known = ", ".join(Format)
        raise DomainError(
            Reason.INVALID_MODEL_FILE, str(error), hint=f"The parameter `format` is one of {known}."
        ) from None


def _request(run: AloneRun, parameters: ImportParameters, found: Found) -> Request:
    memory = _memory(parameters.memory_gib, run.memory_bytes)
    limits = Limits(memory, parameters.seconds, min(memory, MOST_BYTES))  # what is written there lies in memory as well
    return Request(
        format=found.format, model="", scratch="", limits=limits, module=parameters.module,
        arguments=parameters.arguments,
        inputs={name: each.model_dump(exclude_none=True) for name, each in parameters.inputs.items()},
        task=parameters.task,
        batches=parameters.batches, seed=run.seed,
    )  # fmt: skip


def _memory(gib: float | None, most: int) -> int:
    """Bytes that the process inside may have: what the job may take, or less; InvalidArgument for more."""
    asked = most if gib is None else int(gib * GIB)
    if asked > most:
        words = f"{gib:g} GiB are more than the {most / GIB:.3g} GiB of the job: give it more memory (`--memory`)"
        raise InvalidArgument([Violation('job.parameters["memory_gib"]', words)])
    return asked


def _converted(run: AloneRun, request: Request, folder: Path, found: Found) -> hostile.Answered:
    work = run.folder / "work"
    work.mkdir()
    interpreter = tensorflow.interpreter() if found.format is Format.SAVED_MODEL else None
    task = cells.Task(request, folder, found.path, _examples(run), MOST_BYTES, TRAITS[found.format].code)
    return hostile.unpack(cells.run(task, work, interpreter), work, MOST_BYTES)


def _examples(run: AloneRun) -> Path | None:
    """The one .npz of the source "examples", when the job has it."""
    try:
        files = run.files(EXAMPLES)
    except KeyError:
        return None
    if len(files) != 1 or files[0].suffix != ".npz":
        raise DomainError(Reason.INVALID_DATA, "the source `examples` has to be one .npz with an array for each input")
    copied = run.folder / "work" / "examples.npz"  # readable for nobody, who opens the model
    shutil.copyfile(files[0], copied)
    copied.chmod(0o644)
    return copied


def _tolerance(parameters: ImportParameters, found: Format) -> Tolerance:
    traits = TRAITS[found]
    rtol, atol = parameters.rtol, parameters.atol
    if atol is not None:
        return Tolerance(traits.rtol if rtol is None else rtol, atol)
    return Tolerance(traits.rtol if rtol is None else rtol, traits.atol, bounded=True)


def _tokenizer(folder: Path, found: Format) -> dict[str, Path]:
    if found is not Format.HUGGING_FACE:
        return {}
    return {f"huggingface/{name}": folder / name for name in TOKENIZER if (folder / name).is_file()}
