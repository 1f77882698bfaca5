"""The bootstrap: what is drawn, how ends are read, and the share of simulations in which they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from services.trainer.evaluation import resampling
from services.trainer.evaluation.answers import Classification
from services.trainer.evaluation.estimate import Bounds, Estimate, Setting
from services.trainer.evaluation.metrics.catalogue import by_name

SIMULATED = 100


def test_a_resample_draws_as_many_rows_as_there_are() -> None:
    weights = resampling.drawn(np.random.default_rng(1), 500, 40)
    assert weights.shape == (500, 40)
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean() == 1.0
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.03)  # of a binomial with 40 draws of chance 1/40


def test_the_same_seed_gives_the_same_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(30.0)
    mean = lambda weights: weights @ values / weights.sum(axis=1)  # noqa: E731
    setting = Setting(resamples=200, seed=7)
    whole = resampling.replicates(mean, 30, setting)
    monkeypatch.setattr(resampling, "CELLS", 900)
    assert (resampling.replicates(mean, 30, setting) == whole).all()
    assert (resampling.replicates(mean, 30, Setting(resamples=200, seed=8)) != whole).any()


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(size=300)
    found = resampling.replicates(lambda w: w @ values / 300, 300, Setting(resamples=2000))
    assert found.std() == pytest.approx(values.std() / math.sqrt(300), rel=0.06)


def test_far_ends_are_extrapolated_from_near_ones() -> None:
    found = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    far = resampling.percentile(found, 0.0, 0.9999)  # 0.05 resamples beyond each end
    assert far.high == pytest.approx(stats.norm.ppf(0.99995), rel=0.01)
    near = resampling.percentile(found, 0.0, 0.9)
    assert near.high == pytest.approx(stats.norm.ppf(0.95), rel=0.01)


def test_the_value_is_in_its_interval_whatever_resampling_made_of_it() -> None:
    found = np.linspace(0.2, 0.3, 1000)
    assert resampling.percentile(found, 0.1, 0.9).low == pytest.approx(0.1)
    both = resampling.outer(found, 0.1, 0.9)
    assert both.low < 0 < 0.1 < 0.29 < both.high


def test_replicates_without_a_value_are_left_out_and_none_at_all_say_nothing() -> None:
    assert resampling.percentile(np.array([np.nan, 1.0, 1.0]), 1.0, 0.95) == Bounds(1.0, 1.0)
    assert resampling.percentile(np.array([np.nan]), 1.0, 0.95) == Bounds(-math.inf, math.inf)


def covered(found: list[Estimate], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def test_coverage_of_auroc() -> None:
    random, setting = np.random.default_rng(6), Setting(resamples=300)
    found = []
    for _ in range(SIMULATED):
        labels = np.r_[np.ones(60), np.zeros(90)]
        scores = random.normal(size=150) + labels
        chance = 1 / (1 + np.exp(-scores))
        found.append(by_name("auroc").estimate(Classification(labels, np.c_[1 - chance, chance]), setting))
    assert covered(found, float(stats.norm.cdf(1 / math.sqrt(2)))) >= 0.9


def test_coverage_of_macro_f1() -> None:
    cells = np.array([[0.4, 0.05, 0.02], [0.03, 0.25, 0.05], [0.02, 0.03, 0.15]])
    truth = float(np.mean(2 * np.diag(cells) / (cells.sum(axis=0) + cells.sum(axis=1))))
    random, setting = np.random.default_rng(7), Setting(resamples=300)
    found = []
    for _ in range(SIMULATED):
        drawn = random.choice(9, size=200, p=cells.ravel())
        found.append(by_name("macro_f1").estimate(Classification(drawn // 3, predicted=drawn % 3), setting))
    assert covered(found, truth) >= 0.9
