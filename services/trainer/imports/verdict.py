"""Asks the converted model what the original was asked, as it will be served, and says whether the answers are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.imports import compare, hostile
from services.trainer.imports.cells import failed
from services.trainer.imports.compare import Difference, Pair, Tolerance

SHOWN = 3


def differences(answered: hostile.Answered, tolerance: Tolerance, unjudged: Sequence[str]) -> list[Difference]:
    """Of every output on every probe that the original took; CONVERSION_FAILED when it took no ordinary one."""
    session = session_of(answered)
    names = [each.name for each in session.get_outputs()]
    taken = [asked for asked in answered.report.probes if not asked.refused]
    if not any(asked.name.startswith("batch") for asked in taken):
        said = next((asked.refused for asked in answered.report.probes), "it was asked nothing")
        raise failed(
            f"the original itself takes none of the batches that were made up: {said}",
            "Give inputs that it takes: a second source `examples`, one .npz with an array for each input.",
        )
    pairs = [pair for asked in taken for pair in _pairs(session, names, asked, answered)]
    return compare.compare(pairs, tolerance, unjudged)


def session_of(answered: hostile.Answered) -> onnxruntime.InferenceSession:
    """One thread, as the figures of one answer must not depend on the machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(answered.model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise failed(f"onnxruntime does not load it: {str(error).splitlines()[0][:300]}") from None


def _pairs(
    session: onnxruntime.InferenceSession, names: Sequence[str], asked: hostile.Asked, answered: hostile.Answered
) -> list[Pair]:
    originals = [answered.arrays[key] for _, key in sorted(asked.outputs.items(), key=lambda item: int(item[0]))]
    if len(originals) != len(names):
        raise failed(f"the original has {len(originals)} outputs and the converted model {len(names)}: {', '.join(names)}")
    try:
        given = session.run(None, hostile.inputs_of(asked, answered.arrays))
        converted = [np.asarray(each) for each in given]
    except Exception as error:
        said = str(error).splitlines()[0][:200]
        return [Pair(asked.name, name, each, None, said) for name, each in zip(names, originals, strict=True)]
    return [Pair(asked.name, *each) for each in zip(names, originals, converted, strict=True)]


def hold(found: Sequence[Difference], tolerance: Tolerance) -> None:
    """CONVERSION_DIFFERS with the worst places, when something is beyond tolerance."""
    beyond = compare.beyond(found)
    if not beyond:
        return
    places = "; ".join(sentence(each) for each in beyond[:SHOWN])
    more = f"; and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
    raise DomainError(
        Reason.CONVERSION_DIFFERS,
        f"the converted model does not answer as the original (rtol {tolerance.rtol:g}, atol {tolerance.atol:g}): {places}{more}",
        hint="If these differences do not matter to you, raise `rtol` or `atol`, or name probes in `unjudged`; "
        "give `examples` if the made-up inputs are nothing that the model would ever see.",
        metadata={"probe": beyond[0].probe, "output": beyond[0].output, "rel": f"{beyond[0].rel:.3g}"},
    )


def sentence(each: Difference) -> str:
    """One difference for people."""
    figures = "" if np.isinf(each.max_abs) else f"max {each.max_abs:.3g}, relative {each.rel:.3g}, "
    return f"{each.output} on {each.probe}: {figures}{each.worst}"
