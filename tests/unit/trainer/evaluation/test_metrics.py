"""Values against scikit-learn and published examples; weighted forms against scikit-learn's sample weights."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Classification, Language, Ranking, Regression, Task
from services.trainer.evaluation.estimate import Better, Setting
from services.trainer.evaluation.metrics import classification, perplexity, ranking, regression
from services.trainer.evaluation.metrics.catalogue import by_name, of_task

QUICK = Setting(resamples=200)
Classify = Callable[..., Classification]


def test_classification_as_scikit_learn_has_it(classify: Classify) -> None:
    answers = classify(400)
    labels, probabilities, predicted = answers.labels, answers.probabilities, answers.predicted
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro"),
        "log_loss": sk.log_loss(labels, probabilities),
        "auroc": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "brier": sk.brier_score_loss(labels, probabilities),
    }
    assert {name: by_name(name).value(answers) for name in expected} == pytest.approx(expected)


def test_two_classes_as_scikit_learn_has_them(classify: Classify) -> None:
    answers = classify(300, classes=2, sure=1.0)
    probabilities = answers.probabilities
    assert probabilities is not None
    assert by_name("auroc").value(answers) == pytest.approx(sk.roc_auc_score(answers.labels, probabilities[:, 1]))
    assert by_name("brier").value(answers) == pytest.approx(sk.brier_score_loss(answers.labels, probabilities[:, 1]))


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_forms_are_those_of_repeated_rows(classify: Classify, classes: int) -> None:
    answers = classify(120, sure=1.0, classes=classes)
    assert answers.probabilities is not None
    fifths = np.round(answers.probabilities * 5) + 1  # many ties
    rounded = Classification(answers.labels, fifths / fifths.sum(axis=1, keepdims=True))
    weights = np.random.default_rng(3).integers(0, 4, size=(5, 120))
    pairs = {
        classification.balanced_statistic: classification.balanced_accuracy,
        classification.f1_statistic: classification.macro_f1,
        classification.auroc_statistic: classification.auroc,
    }
    for statistic, point in pairs.items():
        expected = [point(rounded.take(np.repeat(np.arange(120), each))) for each in weights]
        assert statistic(rounded)(weights.astype(float)) == pytest.approx(expected), point.__name__


def test_a_resample_without_a_class_has_no_auroc_and_leaves_it_out_elsewhere() -> None:
    answers = Classification([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    weights = np.array([[1.0, 2.0, 0.0]])
    assert np.isnan(classification.auroc_statistic(answers)(weights)[0])
    assert classification.balanced_statistic(answers)(weights)[0] == pytest.approx(1 / 3)


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    answers = Classification([1], [[1.0, 0.0]])
    assert by_name("log_loss").value(answers) == pytest.approx(-math.log(np.finfo(np.float64).eps))


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "auroc"])
def test_no_mistake_on_few_rows_is_no_certainty(name: str) -> None:
    labels = np.arange(40) % 2
    perfect = Classification(labels, np.eye(2)[labels])
    found = by_name(name).estimate(perfect, QUICK)
    assert (found.value, found.high) == (1.0, pytest.approx(1.0))
    assert 0.8 < found.low < 0.95


def test_a_mean_without_spread_is_no_certainty_either() -> None:
    perfect = by_name("ndcg@3").estimate(Ranking(np.eye(40), np.eye(40)), QUICK)
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert 0.85 < perfect.low < 0.95
    even = by_name("brier").estimate(Classification(np.arange(40) % 2, np.full((40, 2), 0.5)), QUICK)
    assert even.low < even.value == 0.25 < even.high < 0.6


def test_auroc_says_which_class_is_missing() -> None:
    answers = Classification([0, 2], [[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], classes=("cat", "cow", "dog"))
    assert by_name("auroc").missing(answers) == "no row has the class cow"
    assert "without probabilities" in by_name("ece").missing(Classification([0, 1], predicted=[0, 1]))


def test_regression_as_scikit_learn_has_it() -> None:
    random = np.random.default_rng(4)
    targets = random.normal(1e6, 10, 200)
    answers = Regression(targets, targets + random.normal(size=200))
    expected = {
        "mae": sk.mean_absolute_error(targets, answers.predicted),
        "rmse": sk.root_mean_squared_error(targets, answers.predicted),
        "r2": sk.r2_score(targets, answers.predicted),
    }
    assert {name: by_name(name).value(answers) for name in expected} == pytest.approx(expected)
    weights = random.integers(0, 3, size=(4, 200))
    for statistic, score in ((regression.rmse_statistic, regression.rmse), (regression.r2_statistic, regression.r2)):
        repeated = [score(answers.take(np.repeat(np.arange(200), each))) for each in weights]
        assert statistic(answers)(weights.astype(float)) == pytest.approx(repeated)


def test_r2_of_one_number_is_not_to_be_had() -> None:
    assert by_name("r2").missing(Regression([2.0, 2.0], [1.0, 3.0]))


def test_ndcg_of_the_textbook() -> None:
    # Järvelin and Kekäläinen's gain and discount: 6.861 of 7.141 at best for these six in this order.
    answers = Ranking([[3.0, 2, 3, 0, 1, 2]], [[6.0, 5, 4, 3, 2, 1]])
    assert ranking.ndcg(answers, 6)[0] == pytest.approx(6.861 / 7.141, abs=2e-4)


def test_ndcg_as_scikit_learn_has_it() -> None:
    random = np.random.default_rng(5)
    relevance, scores = random.integers(0, 4, (30, 20)).astype(float), random.normal(size=(30, 20))
    answers = Ranking(relevance, scores)
    for k in (1, 5, 50):
        assert by_name(f"ndcg@{k}").value(answers) == pytest.approx(sk.ndcg_score(relevance, scores, k=k))


def test_hits_by_hand_and_scores_that_tie_earn_nothing() -> None:
    answers = Ranking([[0, 0, 1.0], [1.0, 0, 0]], [[0.1, 0.3, 0.2], [0.5, 0.5, 0.5]])
    assert by_name("hit@1").value(answers) == 0.0
    assert by_name("hit@2").value(answers) == 0.5
    assert by_name("hit@3").value(answers) == 1.0
    assert ranking.ndcg(answers, 3) == pytest.approx([1 / math.log2(3), 1 / math.log2(4)])


def test_perplexity_of_guessing_is_the_number_of_words() -> None:
    answers = Language(losses=np.array([3.0, 5.0, 2.0]) * math.log(50), tokens=[3, 5, 2])
    found = by_name("perplexity").estimate(answers, QUICK)
    assert (found.value, found.low, found.high) == pytest.approx((50, 50, 50))


def test_perplexity_is_over_tokens_and_its_interval_over_documents() -> None:
    answers = Language(losses=[10.0, 300.0, 90.0], tokens=[10, 100, 40])
    found = by_name("perplexity").estimate(answers, QUICK)
    assert found.value == pytest.approx(math.exp(400 / 150))
    assert 1.0 <= found.low < found.value < found.high
    weighted = perplexity.perplexity_statistic(answers)(np.array([[1.0, 0.0, 2.0]]))
    assert weighted[0] == pytest.approx(math.exp(190 / 90))


def test_intervals_end_where_the_metric_does() -> None:
    losses = Classification([0, 0, 1, 1], [[1, 0], [1, 0], [0, 1], [0.9, 0.1]])
    assert by_name("log_loss").estimate(losses, QUICK).low == 0.0
    assert by_name("brier").estimate(losses, QUICK).low == 0.0


def test_a_higher_level_is_wider(classify: Classify) -> None:
    answers = classify(200)
    for metric in of_task(Task.CLASSIFICATION, QUICK):
        near, far = metric.estimate(answers, QUICK, 0.8), metric.estimate(answers, QUICK, 0.99)
        assert far.low <= near.low <= near.value <= near.high <= far.high, metric.name
        assert far.high - far.low > near.high - near.low, metric.name


def test_students_interval_is_that_of_the_row_losses(classify: Classify) -> None:
    answers = classify(100)
    losses = classification.log_losses(answers)
    found = by_name("log_loss").estimate(answers, QUICK)
    expected = stats.t.interval(0.95, 99, losses.mean(), stats.sem(losses))
    assert (found.low, found.high) == pytest.approx(expected)


def test_names() -> None:
    assert by_name("log_loss").better is Better.LOWER
    assert by_name("hit@37").name == "hit@37"
    with pytest.raises(InvalidArgument, match="did you mean accuracy"):
        by_name("acuracy")
    with pytest.raises(InvalidArgument, match="there is no metric 'hit@0'"):
        by_name("hit@0")
    names = [each.name for task in Task for each in of_task(task, QUICK)]
    assert len(names) == len(set(names))


def test_the_brier_score_of_many_classes_takes_no_more_than_the_answers_do() -> None:
    """A table of classes by classes would take 200 MB here, and more than there is for a vocabulary."""
    classes = 5_000
    answers = Classification(np.arange(20), np.full((20, classes), 1 / classes))
    tracemalloc.start()
    found = by_name("brier").value(answers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == pytest.approx((1 - 1 / classes) ** 2 + (classes - 1) / classes**2)
    assert peak < 20_000_000
