"""Whether a merged model gives what its members do: both are run, and the differences are kept with the version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from bmase.reasons import Reason
from scipy.special import expit, softmax

from services.kit.errors import DomainError
from services.trainer.ensembles.members import Member

Batch = Mapping[str, np.ndarray]
TOLERANCE = 1e-4  # of the output's range; float32 keeps 1e-6, half precision 1e-3


def differences(merged: onnx.ModelProto, members: Sequence[Member], batches: Sequence[Batch]) -> dict[str, float]:
    """Output -> the largest distance between the merged model and the average of the members' own outputs.

    Relative to the largest absolute value of that output over all batches; infinite where shapes differ or only one
    of both is NaN.
    """
    names = [value.name for value in merged.graph.output]
    whole = _run(merged, names, batches)
    parts = [(member, _run(member.model, names, batches)) for member in members if member.weight > 0]
    return {name: _distance(whole[name], _average(name, parts)) for name in names}


def require(found: Mapping[str, float], tolerance: float = TOLERANCE) -> None:
    """Raises DomainError that names the outputs beyond the tolerance."""
    beyond = {name: value for name, value in found.items() if not value <= tolerance}
    if beyond:
        spoken = ", ".join(f"{name!r} by {value:.3g}" for name, value in beyond.items())
        raise DomainError(
            Reason.INVALID_MODEL_FILE,
            f"the merged model differs from the average of its members: {spoken} of the output's range",
            hint="members may behave differently at another opset: export them all at the same one",
        )


def _run(model: onnx.ModelProto, names: list[str], batches: Sequence[Batch]) -> dict[str, list[np.ndarray]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = [session.run(names, dict(batch)) for batch in batches]
    return {name: [np.asarray(result[place]) for result in results] for place, name in enumerate(names)}


def _average(name: str, parts: Sequence[tuple[Member, dict[str, list[np.ndarray]]]]) -> list[np.ndarray]:
    """In double precision, batch by batch."""
    weighed = [[member.weight * _chances(member, each) for each in outputs[name]] for member, outputs in parts]
    return [np.sum(batch, axis=0) for batch in zip(*weighed, strict=True)]


def _chances(member: Member, output: np.ndarray) -> np.ndarray:
    wide = output.astype(np.float64)
    return probabilities(wide) if member.logits else wide


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Over several classes, or of the positive one, as the merged model makes them."""
    return np.asarray(softmax(logits, axis=-1) if logits.ndim > 1 and logits.shape[-1] > 1 else expit(logits))


def _distance(whole: list[np.ndarray], expected: list[np.ndarray]) -> float:
    if any(a.shape != b.shape for a, b in zip(whole, expected, strict=True)):
        return float("inf")
    one, other = (np.concatenate([array.ravel() for array in each]).astype(np.float64) for each in (whole, expected))
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    finite = np.isfinite(other)
    scale = float(np.abs(other[finite]).max(initial=0.0)) or 1.0
    return float(np.abs(one[finite] - other[finite]).max(initial=0.0)) / scale
