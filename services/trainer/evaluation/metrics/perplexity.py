"""The metric of language models. Documents are the rows, as the tokens of one document depend on each other."""

from __future__ import annotations

import math

import numpy as np

from services.trainer.evaluation import intervals
from services.trainer.evaluation.answers import Language, Task
from services.trainer.evaluation.estimate import Better, Bounds
from services.trainer.evaluation.metrics.metric import Metric, Resampled
from services.trainer.evaluation.resampling import Statistic

LARGEST = 700.0  # nats a token: exp of more is no float64


def perplexity(answers: Language) -> float:
    """exp of the nats a token, over all tokens of all documents."""
    return _exp(float(answers.losses.sum() / answers.tokens.sum()))


def perplexity_statistic(answers: Language) -> Statistic:
    """The same, weighted."""
    return lambda weights: np.exp(np.minimum(weights @ answers.losses / (weights @ answers.tokens), LARGEST))


def _ends(answers: Language, level: float) -> Bounds:
    """exp keeps the order, so the ends of the nats a token go through it."""
    nats = intervals.ratio(answers.losses, answers.tokens, level)
    return Bounds(_exp(nats.low), _exp(nats.high))


def _exp(nats: float) -> float:
    return math.exp(min(nats, LARGEST))


FOUND: tuple[Metric, ...] = (
    Resampled(
        "perplexity",
        Task.LANGUAGE,
        Better.LOWER,
        smallest=1.0,
        largest=math.inf,
        point=perplexity,
        statistic=perplexity_statistic,
        closed=_ends,
        formula="Student's t of the ratio of sums over documents",
    ),
)
