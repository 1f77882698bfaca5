"""Two versions on the same rows: pairing is used, and other rows are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Classification, Language, Regression, Task
from services.trainer.evaluation.comparison import compare
from services.trainer.evaluation.estimate import Difference, Setting
from services.trainer.evaluation.metrics.catalogue import by_name, of_task

SETTING = Setting(resamples=200)
Classify = Callable[..., Classification]


def difference(name: str, candidate: object, stable: object) -> Difference:
    found = compare(candidate, stable, [by_name(name)], SETTING, 3).difference(name)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_accuracy_by_hand() -> None:
    labels = np.zeros(200)
    stable, new = np.zeros(200), np.zeros(200)
    stable[:9], new[8:10] = 1, 1  # eight better, one worse, one wrong in both
    found = difference("accuracy", Classification(labels, predicted=new), Classification(labels, predicted=stable))
    assert found.value == pytest.approx(7 / 200)
    assert (found.candidate, found.stable) == pytest.approx((198 / 200, 191 / 200))
    assert found.p_value == pytest.approx(stats.binomtest(8, 9).pvalue)
    assert found.low < found.value < found.high


def test_pairs_tell_apart_what_two_evaluations_could_not(classify: Classify) -> None:
    stable = classify(300, sure=1.0)
    assert stable.probabilities is not None
    sharper = stable.probabilities**1.2
    new = Classification(stable.labels, sharper / sharper.sum(axis=1, keepdims=True))
    metric = by_name("log_loss")
    apart = metric.estimate(new, SETTING), metric.estimate(stable, SETTING)
    together = difference("log_loss", new, stable)
    assert apart[0].high > apart[1].low
    assert apart[1].high > apart[0].low
    assert together.low > 0 or together.high < 0


def test_resampled_pairs_use_the_same_rows() -> None:
    """Errors that both make in the same rows, however large, are not in the interval of the difference."""
    random = np.random.default_rng(13)
    targets, noise = random.normal(size=200), random.normal(scale=5, size=200)
    stable, new = Regression(targets, targets + noise), Regression(targets, targets + 0.99 * noise)
    found, alone = difference("rmse", new, stable), by_name("rmse").estimate(stable, SETTING)
    assert found.high < 0
    assert found.high - found.low < 0.05 * (alone.high - alone.low)
    assert found.value == pytest.approx(-0.01 * found.stable)


def test_a_version_is_not_better_than_itself(classify: Classify) -> None:
    answers = classify(100)
    found = compare(answers, answers, of_task(Task.CLASSIFICATION, SETTING), SETTING, 3)
    assert found.left_out == {}
    for each in found.differences:
        assert each.low <= 0 == each.value <= each.high, each.metric
    accuracy = found.difference("accuracy")
    assert accuracy is not None
    assert accuracy.p_value == 1.0
    assert accuracy.low < -0.01  # a hundred rows cannot show more
    for name in ("balanced_accuracy", "macro_f1", "auroc", "brier"):
        alike = found.difference(name)
        assert alike is not None
        assert alike.low < -0.01 < 0.01 < alike.high, name


@pytest.mark.parametrize(
    ("stable", "message"),
    [
        (Classification([0, 1, 0], predicted=[0, 0, 0]), "another truth in row 2"),
        (Classification([0, 1], predicted=[0, 0]), r"truth of shape \(2,\), the candidate \(3,\)"),
        (Regression([0, 1, 1], [0, 0, 0]), "answers regression, the candidate classification"),
    ],
)
def test_other_rows_are_refused(stable: object, message: str) -> None:
    candidate = Classification([0, 1, 1], predicted=[0, 0, 0])
    with pytest.raises(InvalidArgument, match=message):
        compare(candidate, stable, [by_name("accuracy")], SETTING, 3)  # type: ignore[arg-type]


def test_another_tokeniser_is_no_comparison() -> None:
    with pytest.raises(InvalidArgument, match="another truth in row 0"):
        compare(Language([3.0], [4]), Language([3.0], [5]), [by_name("perplexity")], SETTING, 3)


def test_what_the_stable_version_lacks_is_said() -> None:
    new = Classification([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    found = compare(new, Classification([0, 1], predicted=[0, 1]), [by_name("log_loss")], SETTING, 3)
    assert found.left_out == {"log_loss": "of the stable version the answers are classes without probabilities"}


def test_coverage_of_the_difference_of_macro_f1() -> None:
    """Two versions of equal worth: the interval holds 0."""
    random, held = np.random.default_rng(14), 0
    for _ in range(60):
        labels = random.integers(0, 3, 200)
        first, second = (np.where(random.random(200) < 0.8, labels, (labels + 1) % 3) for _ in range(2))
        found = difference(
            "macro_f1", Classification(labels, predicted=first), Classification(labels, predicted=second)
        )
        held += found.low <= 0 <= found.high
    assert held >= 53
