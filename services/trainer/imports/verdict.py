"""Asks the converted model what the original was asked, and says whether the answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.imports import cells, compare, hostile
from services.trainer.imports.cells import failed
from services.trainer.imports.compare import EMPTY, Difference, Pair, Tolerance
from services.trainer.imports.hostile import Answered, Asked
from services.trainer.imports.request import Request

SHOWN = 3
EXAMPLES = "Give inputs that it takes: a second source `examples`, one .npz with an array for each input."
# Answers of the converted model, one for each question; DomainError when the process died of one.
Ask = Callable[[Sequence[Asked]], Answered]


def differences(original: Answered, ask: Ask, tolerance: Tolerance, unjudged: Sequence[str]) -> list[Difference]:
    """Of every output on every probe that the original took; CONVERSION_FAILED when it took no ordinary one, or gave
    no number for it.
    """
    taken = [asked for asked in original.report.probes if not asked.refused]
    if not any(asked.name.startswith("batch") for asked in taken):
        said = next((asked.refused for asked in original.report.probes), "it was asked nothing")
        raise failed(
            f"the original itself takes none of the batches that were made up: {said}",
            EXAMPLES,
        )
    whole = [asked for asked in taken if asked.name != EMPTY]
    pairs = _pairs(original, whole, ask(whole))
    if silent := compare.unanswered(pairs):
        raise failed(
            f"the original gives no numbers to compare for {', '.join(silent)} on any of the batches that were made up",
            EXAMPLES,
        )
    # By itself, as it may be the end of the process.
    for empty in (asked for asked in taken if asked.name == EMPTY):
        pairs += _empty(original, empty, ask, [pair.output for pair in pairs if pair.probe == whole[0].name])
    return compare.compare(pairs, tolerance, unjudged)


def _empty(original: Answered, asked: Asked, ask: Ask, outputs: Sequence[str]) -> list[Pair]:
    try:
        return _pairs(original, [asked], ask([asked]))
    except DomainError as error:
        return [
            Pair(asked.name, name, each, None, error.message)
            for name, each in zip(outputs, _answers(original, asked), strict=True)
        ]


def asker(answered: Answered, work: Path, request: Request, most_bytes: int) -> Ask:
    """Asks it in the sandbox where there is one."""

    def ask(questions: Sequence[Asked]) -> Answered:
        folder = work / f"served-{len(list(work.glob('served-*')))}"
        folder.mkdir()
        shown = Request(
            format="", model="", scratch="", limits=request.limits, asked=tuple(dict(each.inputs) for each in questions)
        )
        (answered.folder / hostile.ARRAYS).chmod(0o644)
        task = cells.Task(
            shown,
            _alone(answered.model, folder),
            hostile.MODEL,
            answered.folder / hostile.ARRAYS,
            most_bytes,
            False,
            "served",
        )
        return hostile.unpack(cells.run(task, folder), folder, most_bytes, hostile.ASKED)

    return ask


def _alone(model: Path, folder: Path) -> Path:
    """The model in a folder of its own, readable for nobody."""
    shown = folder / "model"
    shown.mkdir(mode=0o755)
    (shown / model.name).hardlink_to(model)
    model.chmod(0o644)
    return shown


def _pairs(original: Answered, questions: Sequence[Asked], answered: Answered) -> list[Pair]:
    outputs = next((list(each.outputs) for each in answered.report.probes if each.outputs), None)
    if outputs is None:
        said = next((each.refused for each in answered.report.probes), "")
        raise failed(f"the converted model answers nothing that the original answers: {said}")
    found: list[Pair] = []
    for asked, told in zip(questions, answered.report.probes, strict=True):
        answers = _answers(original, asked)
        if len(answers) != len(outputs):
            raise failed(
                f"the original has {len(answers)} outputs and the converted model {len(outputs)}: {', '.join(outputs)}"
            )
        for name, each in zip(outputs, answers, strict=True):
            converted = answered.arrays[told.outputs[name]] if told.outputs else None
            found.append(Pair(asked.name, name, each, converted, told.refused))
    return found


def _answers(original: Answered, asked: Asked) -> list[np.ndarray]:
    return [original.arrays[key] for _, key in sorted(asked.outputs.items(), key=lambda item: int(item[0]))]


def hold(found: Sequence[Difference], tolerance: Tolerance) -> None:
    """CONVERSION_DIFFERS with the worst places, when something is beyond tolerance."""
    beyond = compare.beyond(found)
    if not beyond:
        return
    places = "; ".join(sentence(each) for each in beyond[:SHOWN])
    more = f"; and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
    raise DomainError(
        Reason.CONVERSION_DIFFERS,
        f"the converted model does not answer as the original (rtol {tolerance.rtol:g}, atol {tolerance.atol:g}):"
        f" {places}{more}",
        hint="If these differences do not matter to you, raise `rtol` or `atol`, or name probes in `unjudged`; "
        "give `examples` if the made-up inputs are nothing that the model would ever see.",
        metadata={"probe": beyond[0].probe, "output": beyond[0].output, "rel": f"{beyond[0].rel:.3g}"},
    )


def sentence(each: Difference) -> str:
    """One difference for people."""
    figures = "" if np.isinf(each.max_abs) else f"max {each.max_abs:.3g}, relative {each.rel:.3g}, "
    return f"{each.output} on {each.probe}: {figures}{each.worst}"
