"""A candidate beside the version now stable, on the very same rows: what both get right tells nothing, so pairs need
far fewer rows than two separate evaluations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Answers
from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.estimate import Difference, Setting
from services.trainer.evaluation.metrics.metric import Metric


@dataclass(frozen=True)
class Comparison(Document):
    """Candidate minus stable, metric by metric."""

    stable_version: int
    rows: int
    differences: tuple[Difference, ...]
    left_out: dict[str, str]  # metric -> why the two cannot be compared by it

    def difference(self, metric: str) -> Difference | None:
        return next((one for one in self.differences if one.metric == metric), None)


def same_rows(candidate: Answers, stable: Answers) -> None:
    """InvalidArgument when the truth differs: then the rows, or their order, are not the same."""
    if candidate.task is not stable.task:
        raise InvalidArgument([Violation("stable", f"answers {stable.task}, the candidate {candidate.task}")])
    if candidate.truth.shape != stable.truth.shape:
        message = f"has truth of shape {stable.truth.shape}, the candidate {candidate.truth.shape}: not the same rows"
        raise InvalidArgument([Violation("stable", message)])
    other = np.flatnonzero((candidate.truth != stable.truth).reshape(candidate.rows, -1).any(axis=1))
    if len(other):
        message = f"has another truth in row {other[0]} (and {len(other) - 1} more): not the same rows"
        raise InvalidArgument([Violation("stable", message)])


def compare(
    candidate: Answers, stable: Answers, metrics: Iterable[Metric], setting: Setting, stable_version: int
) -> Comparison:
    """By every metric that both have."""
    same_rows(candidate, stable)
    wanted = list(metrics)
    lacks = {each.name: each.missing(candidate) or _of_stable(each.missing(stable)) for each in wanted}
    differences = [each.difference(candidate, stable, setting) for each in wanted if not lacks[each.name]]
    left_out = {name: why for name, why in lacks.items() if why}
    return Comparison(stable_version, candidate.rows, tuple(differences), left_out)


def _of_stable(why: str) -> str:
    return f"of the stable version {why}" if why else ""
