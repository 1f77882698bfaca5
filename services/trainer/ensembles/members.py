"""The members of a merged ensemble, and the words in which one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument, Violation

SUM_TOLERANCE = 1e-6
SIDE_BY_SIDE = "serve the members side by side as a Triton ensemble"


@dataclass(frozen=True, eq=False)
class Member:
    """A version with its weight; `logits`: its outputs become probabilities (softmax, sigmoid) before the average."""

    name: str
    model: onnx.ModelProto
    weight: float
    logits: bool = False


def refused(member: str, why: str, hint: str = SIDE_BY_SIDE) -> DomainError:
    """A member that cannot be merged."""
    return DomainError(Reason.INVALID_MODEL_FILE, f"member {member!r}: {why}", hint=hint, metadata={"member": member})


def check_weights(named: Sequence[tuple[str, float]]) -> None:
    """Raises InvalidArgument unless names differ and weights are shares."""
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise InvalidArgument([Violation("members", f"names come twice in {', '.join(names)}")])
    weights = [weight for _, weight in named]
    if not all(0 <= weight <= 1 for weight in weights) or abs(sum(weights) - 1) > SUM_TOLERANCE:
        spoken = ", ".join(f"{weight:g}" for weight in weights) or "none"
        raise InvalidArgument([Violation("members", f"weights have to be in 0..1 with sum 1; they are {spoken}")])


def one_line(error: Exception) -> str:
    """A library's message, short enough to be part of ours."""
    return " ".join(str(error).split())[:300]
