"""Metrics of ranking: how far up the relevant items are."""

from __future__ import annotations

from functools import partial

import numpy as np

from services.trainer.evaluation.answers import Array, Ranking, Task
from services.trainer.evaluation.metrics.metric import Mean, Metric, Share

DEFAULT = (1, 5, 10)


def hits(answers: Ranking, k: int) -> Array:
    """(n,) bool: is a relevant item among the first k?"""
    return np.asarray((answers.ranked[:, :k] > 0).any(axis=1))


def ndcg(answers: Ranking, k: int) -> Array:
    """(n,), from 0 to 1 (the best order there is): sum of gain / log2(1 + place) over the first k places.

    Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20 (2002), 422-446.
    """
    best = -np.sort(-answers.relevance, axis=1)
    discounts = 1 / np.log2(np.arange(2, 2 + min(k, answers.relevance.shape[1])))
    return np.asarray((answers.ranked[:, :k] @ discounts) / (best[:, :k] @ discounts))


def hit_at(k: int) -> Metric:
    """The share of rows with a relevant item among the first k."""
    return Share(f"hit@{k}", Task.RANKING, hits=partial(hits, k=k))


def ndcg_at(k: int) -> Metric:
    """The mean normalised discounted cumulative gain of the first k places."""
    return Mean(f"ndcg@{k}", Task.RANKING, each=partial(ndcg, k=k))
