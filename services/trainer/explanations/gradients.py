"""Integrated gradients of torch modules, by Captum. Imported by jobs only: it needs torch.

Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (ICML 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from services.kit.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    import torch

Array = np.ndarray
STEPS, MOST_STEPS, AT_ONCE = 32, 2048, 256
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Gradients:
    """What each value of each input adds, (rows, ...) by input; rows sum up to explained - base but for `error`.

    base, explained, error   (rows,); the error is Captum's convergence delta, in units of the output
    steps                    of the path, that it took
    """

    attributions: tuple[Array, ...]
    base: Array
    explained: Array
    error: Array
    steps: int


def integrated_gradients(
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    baselines: tuple[torch.Tensor, ...],
    *,
    target: int = 0,
    output_range: float = 0.0,
    tolerance: float = TOLERANCE,
) -> Gradients:
    """Attributions of output value `target` to inputs (rows, ...) of floats, against baselines of (1 or rows, ...).

    The steps are doubled until every row's sum is within `tolerance` of the output's range (`output_range`; 0: the
    largest of the differences that are explained). InvalidArgument when MOST_STEPS are not enough, which is so where
    the output jumps between baseline and input, or when an input is not of floats.
    """
    import torch  # noqa: PLC0415
    from captum.attr import IntegratedGradients  # noqa: PLC0415

    if any(not each.is_floating_point() for each in inputs):
        raise _refuse("inputs", "gradients need inputs of floats; explain tokens by perturbation instead")

    def output(*given: torch.Tensor) -> torch.Tensor:
        answer = module(*given)
        return answer.reshape(len(answer), -1)[:, target]

    with torch.no_grad():
        explained = output(*inputs)
        base = output(*baselines).expand_as(explained)
    scale = output_range or float((explained - base).abs().max())
    method, steps = IntegratedGradients(output), STEPS
    while True:
        found, delta = method.attribute(
            inputs, baselines, n_steps=steps, internal_batch_size=AT_ONCE, return_convergence_delta=True
        )
        worst = float(delta.abs().max())
        if worst <= tolerance * scale:
            parts = tuple(each.detach().numpy() for each in found)
            return Gradients(parts, base.numpy(), explained.numpy(), delta.detach().numpy(), steps)
        if steps >= MOST_STEPS:
            words = f"the sum misses the output by {worst:.3g} after {steps} steps; {tolerance * scale:.3g} is allowed"
            raise _refuse("module", words)
        steps *= 2


def exported(path: Path) -> torch.nn.Module:
    """The module of an exported program (`torch.export.save`), which holds no pickled code of ours."""
    import torch  # noqa: PLC0415

    return torch.export.load(path).module()


def _refuse(where: str, what: str) -> InvalidArgument:
    return InvalidArgument([Violation(where, what)])
