"""How far a converted model's answers are from the original's. Pure: arrays in, figures and a verdict out.

A difference is judged against the *scale* of its output: the largest finite number that the original gives there for
ordinary batches, or for this batch if that is larger. `rel` is the largest difference divided by the scale; it is 0
where both
are the same. Numbers by number, a relative difference says nothing around zero, and zero is where most logits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.trainer.imports.probes import ORDINARY

EMPTY = "no rows"
BOUND = 0.01
TEXTS = "USO"  # of numpy's kinds


@dataclass(frozen=True)
class Tolerance:
    """A difference may be `atol` + `rtol` times the scale. `bounded`: `atol` counts for at most BOUND of a scale that
    is not 0, so that numbers as small as itself are compared as well.
    """

    rtol: float
    atol: float
    bounded: bool = False

    def allows(self, difference: float, scale: float) -> bool:
        """False for NaN."""
        absolute = min(self.atol, BOUND * scale) if self.bounded and scale else self.atol
        return difference <= absolute + self.rtol * scale


@dataclass(frozen=True)
class Difference:
    """Of one output on one batch. Labels and texts: `max_abs` is 1 if any differs, `mean_abs` the share that does."""

    probe: str
    output: str
    max_abs: float
    mean_abs: float
    rel: float
    scale: float
    within: bool
    worst: str = ""  # where, and both values
    unjudged: bool = False


@dataclass(frozen=True)
class Pair:
    """Both answers of one output to one batch; `converted` None: it failed with `error`."""

    probe: str
    output: str
    original: np.ndarray
    converted: np.ndarray | None
    error: str = ""


def compare(pairs: Sequence[Pair], tolerance: Tolerance, skip: Sequence[str] = ()) -> list[Difference]:
    """One difference a pair, in order. What is in `skip` is measured and not judged; so is an empty batch that
    fails.
    """
    ordinary: dict[str, float] = {}
    for pair in pairs:
        if pair.probe.startswith(ORDINARY):
            ordinary[pair.output] = max(ordinary.get(pair.output, 0.0), magnitude(pair.original))
    return [_one(pair, ordinary.get(pair.output, 0.0), tolerance, pair.probe in skip) for pair in pairs]


def unanswered(pairs: Sequence[Pair]) -> list[str]:
    """Outputs for which the original gives nothing that could be compared on any ordinary batch: NaN and infinities
    alone, or no values at all. Whatever the conversion made of them, it would be the same.
    """
    ordinary = [pair for pair in pairs if pair.probe.startswith(ORDINARY)]
    told = {pair.output for pair in ordinary if _tells(pair.original)}
    return list(dict.fromkeys(pair.output for pair in ordinary if pair.output not in told))


def _tells(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).any()) if array.dtype.kind in "fc" else array.size > 0


def worst(differences: Sequence[Difference]) -> float:
    """The largest `rel` of all that was judged."""
    return max((each.rel for each in differences if not each.unjudged), default=0.0)


def beyond(differences: Sequence[Difference]) -> list[Difference]:
    """What is not within tolerance, the worst first."""
    found = [each for each in differences if not each.within and not each.unjudged]
    return sorted(found, key=lambda each: each.rel, reverse=True)


def magnitude(array: np.ndarray) -> float:
    """The largest finite absolute value; 0 without any."""
    if array.dtype.kind not in "fc" or not array.size:
        return 0.0
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def _one(pair: Pair, ordinary: float, tolerance: Tolerance, skipped: bool) -> Difference:
    if pair.converted is None:
        unjudged = skipped or pair.probe == EMPTY
        return Difference(
            pair.probe, pair.output, np.inf, np.inf, np.inf, 0.0, False, f"it fails: {pair.error}", unjudged
        )
    original, converted = _aligned(pair.original, pair.converted)
    if original.size == converted.size == 0:
        return Difference(pair.probe, pair.output, 0.0, 0.0, 0.0, 0.0, True)  # what shape nothing has is no answer
    if original.shape != converted.shape:
        words = f"shape {list(pair.original.shape)} became {list(pair.converted.shape)}"
        return Difference(pair.probe, pair.output, np.inf, np.inf, np.inf, 0.0, False, words, skipped)
    kinds = original.dtype.kind + converted.dtype.kind
    if "f" in kinds and not set(kinds) & set(TEXTS):
        return _numbers(pair, original, converted, ordinary, tolerance, skipped)
    return _labels(pair, original, converted, skipped)


def _aligned(original: np.ndarray, converted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Converters make [n, 1] of [n]; that is no difference."""
    if original.shape != converted.shape and original.size == converted.size:
        trimmed = tuple(each for each in original.shape if each != 1)
        if trimmed == tuple(each for each in converted.shape if each != 1):
            return original.reshape(converted.shape), converted
    return original, converted


def _numbers(  # noqa: PLR0917 - one call, in order
    pair: Pair, original: np.ndarray, converted: np.ndarray, ordinary: float, tolerance: Tolerance, skipped: bool
) -> Difference:
    a, b = original.astype(np.float64), converted.astype(np.float64)
    # The original may compute in wider numbers than are served: what is beyond those is infinite there.
    a = _narrowed(a, converted.dtype)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    apart = np.where(np.isnan(apart), np.inf, apart)
    largest = float(apart.max()) if apart.size else 0.0
    scale = max(ordinary, magnitude(a))
    rel = 0.0 if largest == 0 else largest / scale if scale else np.inf
    within = tolerance.allows(largest, scale)
    mean = float(apart.mean()) if apart.size else 0.0
    where = _where(apart, original, converted) if largest else ""
    return Difference(pair.probe, pair.output, largest, mean, rel, scale, within, where, skipped)


def _narrowed(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind != "f" or dtype.itemsize >= values.dtype.itemsize:
        return values
    with np.errstate(over="ignore"):
        return values.astype(dtype).astype(np.float64)


def _labels(pair: Pair, original: np.ndarray, converted: np.ndarray, skipped: bool) -> Difference:
    texts = original.dtype.kind in TEXTS or converted.dtype.kind in TEXTS
    a, b = (original.astype(str), converted.astype(str)) if texts else (original, converted)
    apart = (a != b).astype(np.float64)
    largest = float(apart.max()) if apart.size else 0.0
    mean = float(apart.mean()) if apart.size else 0.0
    where = _where(apart, original, converted) if largest else ""
    return Difference(pair.probe, pair.output, largest, mean, largest, 1.0, largest == 0, where, skipped)


def _where(apart: np.ndarray, original: np.ndarray, converted: np.ndarray) -> str:
    place = tuple(int(each) for each in np.unravel_index(int(apart.argmax()), apart.shape))
    return f"at {list(place)} {original[place]!s} became {converted[place]!s}"
