"""All metrics by name, for evaluations and for gates."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Task
from services.trainer.evaluation.estimate import Better, Setting
from services.trainer.evaluation.metrics import classification, perplexity, ranking, regression
from services.trainer.evaluation.metrics.metric import Metric

_AT = re.compile(r"(hit|ndcg)@([1-9][0-9]{0,5})")


def of_task(task: Task, setting: Setting) -> tuple[Metric, ...]:
    """What an evaluation has without being asked; the first is what its slices are looked at by."""
    match task:
        case Task.CLASSIFICATION:
            return classification.found(setting)
        case Task.REGRESSION:
            return regression.FOUND
        case Task.LANGUAGE:
            return perplexity.FOUND
        case Task.RANKING:
            return tuple(make(k) for k in ranking.DEFAULT for make in (ranking.hit_at, ranking.ndcg_at))


@lru_cache(maxsize=256)
def by_name(name: str, setting: Setting | None = None) -> Metric:
    """InvalidArgument, with the nearest names, when there is none of this name."""
    at = _AT.fullmatch(name)
    if at is not None:
        return (ranking.hit_at if at[1] == "hit" else ranking.ndcg_at)(int(at[2]))
    known = {each.name: each for task in Task for each in of_task(task, setting or Setting())}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise InvalidArgument([Violation("metric", f"there is no metric {name!r}; {advice}")])
    return known[name]


def better(name: str) -> Better:
    """Which way the metric improves."""
    return by_name(name).better
