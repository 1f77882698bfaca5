"""How far a reproduction may be from its version and still count as equal; declared with the recipe, before it runs."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import Field, FiniteFloat

from services.trainer.reproduce.documents import Document


class Bound(Document):
    """|now - before| <= absolute + relative * |before|, as numpy's `isclose` has it; of floating-point numbers only.
    All other values have to be equal. NaN is equal to NaN, an infinity to itself.
    """

    absolute: FiniteFloat = Field(default=0.0, ge=0)
    relative: FiniteFloat = Field(default=0.0, ge=0)

    def __str__(self) -> str:
        return f"{self.absolute:g} absolute, {self.relative:g} relative"


class Tolerance(Document):
    """One bound for each kind of evidence; None: not judged, only told (weights of a network that is not convex may
    part while its outputs stay equal).

    `ignored_series`: patterns of series that measure the machine, such as `*_per_second`.
    `judged_by_outputs`: patterns of files whose inside cannot be compared (trees of XGBoost, for example), for which
    equal outputs are enough. A file that is neither readable as tensors nor named here must have the same digest.
    """

    weights: Bound | None = Bound()
    series: Bound | None = Bound()
    outputs: Bound | None = Bound()
    ignored_series: tuple[str, ...] = ()
    judged_by_outputs: tuple[str, ...] = ()

    def ignores(self, series: str) -> bool:
        return any(fnmatchcase(series, pattern) for pattern in self.ignored_series)

    def leaves_to_outputs(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.judged_by_outputs)
