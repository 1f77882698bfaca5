"""The reliability bins by hand, and the parts of the Brier score against their sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.trainer.evaluation.answers import Classification
from services.trainer.evaluation.calibration import calibration, ece, ece_statistic
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.metrics.catalogue import by_name


def binary(confidence: list[float], right: list[bool]) -> Classification:
    """The first of two classes is answered, with this confidence."""
    return Classification(
        [0 if each else 1 for each in right], [[each, 1 - each] for each in confidence], predicted=[0] * len(right)
    )


def test_bins_by_hand() -> None:
    answers = binary([0.9, 0.9, 0.9, 0.9, 0.7, 0.7], [True, True, True, False, True, False])
    found = calibration(answers, Setting(bins=5))
    assert [(one.low, one.high, one.rows) for one in found.bins] == [(0.6, 0.8, 2), (0.8, 1.0, 4)]
    assert [one.accuracy for one in found.bins] == [0.5, 0.75]
    assert [one.confidence for one in found.bins] == pytest.approx([0.7, 0.9])
    assert found.ece == pytest.approx((2 * 0.2 + 4 * 0.15) / 6)
    assert found.largest_gap == pytest.approx(0.2)
    assert found.bins[1].accuracy_low < 0.75 < found.bins[1].accuracy_high


def test_an_edge_belongs_to_the_bin_below() -> None:
    found = calibration(binary([0.5, 1.0, 0.75], [True, True, True]), Setting(bins=4))
    assert [(one.low, one.rows) for one in found.bins] == [(0.25, 1), (0.5, 1), (0.75, 1)]


def test_the_parts_sum_to_the_brier_score(classify: Callable[..., Classification]) -> None:
    answers = classify(500)
    found = calibration(answers, Setting(bins=8))
    assert answers.probabilities is not None
    direct = np.mean((answers.probabilities.max(axis=1) - answers.right) ** 2)
    assert found.brier == pytest.approx(direct)
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert parts == pytest.approx(found.brier)
    assert min(found.reliability, found.resolution, found.uncertainty) > 0


def test_nothing_is_left_within_bins_of_one_confidence() -> None:
    found = calibration(binary([0.9] * 4 + [0.7] * 2, [True, True, True, False, True, False]), Setting(bins=5))
    assert found.within == pytest.approx(0, abs=1e-15)
    assert found.uncertainty == pytest.approx(4 / 6 * 2 / 6)
    assert found.reliability == pytest.approx((2 * 0.2**2 + 4 * 0.15**2) / 6)


def test_a_version_that_knows_its_chances_has_almost_no_error() -> None:
    random = np.random.default_rng(8)
    confidence = random.uniform(0.5, 1, 20_000)
    true = binary(confidence.tolist(), (random.random(20_000) < confidence).tolist())
    boaster = binary(np.minimum(confidence + 0.1, 1).tolist(), true.right.tolist())
    assert ece(true, 15) < 0.015
    assert ece(boaster, 15) > 0.07


def test_the_weighted_form_is_that_of_repeated_rows(classify: Callable[..., Classification]) -> None:
    answers = classify(80)
    weights = np.random.default_rng(9).integers(0, 3, size=(3, 80))
    expected = [ece(answers.take(np.repeat(np.arange(80), each)), 15) for each in weights]
    assert ece_statistic(answers, 15)(weights.astype(float)) == pytest.approx(expected)


def test_the_upper_end_is_not_below_what_many_rows_show() -> None:
    """On few rows the error is too large, so its upper end has to be on the safe side of the truth."""
    random = np.random.default_rng(10)
    safe = 0
    for _ in range(60):
        confidence = random.uniform(0.6, 1, 150)
        right = random.random(150) < confidence - 0.05  # the truth: 0.05
        found = by_name("ece").estimate(binary(confidence.tolist(), right.tolist()), Setting(resamples=200))
        assert found.low <= found.value <= found.high
        safe += found.high >= 0.05
    assert safe >= 58
