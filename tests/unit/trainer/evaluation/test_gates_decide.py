"""Which end of the interval decides, and what is said about it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Classification, Regression, Task
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.evaluate import Evaluation, check, evaluate
from services.trainer.evaluation.gates.decide import decide
from services.trainer.evaluation.gates.gate import Answer, Decision, Outcome
from services.trainer.evaluation.gates.parse import parse_all
from services.trainer.evaluation.gates.sentences import told

QUICK = Setting(resamples=200)


def answered(right: int, rows: int, wrong_first: bool = True) -> Classification:
    """`right` of the rows are right; the truth is the same for each number of rows."""
    labels = np.arange(rows) % 2
    wrong = np.arange(rows) < rows - right if wrong_first else np.arange(rows) >= right
    return Classification(labels, predicted=np.where(wrong, 1 - labels, labels))


def decided(gate: str, answers: Classification, **more: object) -> Answer:
    gates = parse_all([gate])
    return decide(gates, evaluate(answers, QUICK, gates=gates, **more)).answers[0]  # type: ignore[arg-type]


def test_the_lower_end_decides_and_few_rows_do_not_pass() -> None:
    few, many = decided("accuracy >= 0.95", answered(97, 100)), decided("accuracy >= 0.95", answered(1940, 2000))
    assert (few.outcome, many.outcome) == (Outcome.FAILED, Outcome.PASSED)
    # Wilson's interval of 97 of 100 is 0.9155 to 0.9897, of 1,940 of 2,000 0.9616 to 0.9766.
    assert few.sentence == (
        "accuracy is 0.97 on 100 rows, but may be as low as 0.9155 (95 % interval), "
        "and has to be at least 0.95; about 740 rows would settle it if it stays so"
    )
    assert many.sentence == (
        "accuracy is 0.97 on 2,000 rows; the lower end of its 95 % interval, 0.9616, is at least 0.95"
    )
    assert few.bound == pytest.approx(0.9155, abs=1e-4)


def test_the_measured_value_decides_only_when_asked() -> None:
    found = decided("point accuracy >= 0.95", answered(97, 100))
    assert found.outcome is Outcome.PASSED
    assert found.sentence == "accuracy is 0.97 on 100 rows, as measured at least 0.95"
    assert decided("point accuracy > 0.97", answered(97, 100)).outcome is Outcome.FAILED


def test_the_upper_end_decides_below_a_limit() -> None:
    answers = Regression(np.zeros(400), np.tile([0.5, 1.1], 200))  # the interval is 0.7705 to 0.8295
    gates = parse_all(["mae <= 0.82", "mae <= 0.9", "mae <= 0.5"])
    near, passed, far = decide(gates, evaluate(answers, QUICK, gates=gates)).answers
    assert [near.outcome, passed.outcome, far.outcome] == [Outcome.FAILED, Outcome.PASSED, Outcome.FAILED]
    assert "but may be as high as" in near.sentence
    assert near.value is not None
    assert near.value < 0.82 < (near.bound or 0)
    assert far.sentence.endswith("on 400 rows, and has to be at most 0.5")


def test_the_chance_to_pass_wrongly_is_small() -> None:
    """Versions that are worth exactly the limit pass in at most 2.5 of 100 evaluations; by luck alone half would."""
    random = np.random.default_rng(21)
    passed = {"accuracy > 0.9": 0, "point accuracy > 0.9": 0}
    for _ in range(100):
        answers = answered(int(random.binomial(300, 0.9)), 300)
        for gate in passed:
            found = decide(parse_all([gate]), _accuracy_only(answers))
            passed[gate] += found.passed
    assert passed["accuracy > 0.9"] <= 6
    assert passed["point accuracy > 0.9"] >= 30


def _accuracy_only(answers: Classification) -> Evaluation:
    from services.trainer.evaluation.metrics.catalogue import by_name  # noqa: PLC0415

    estimate = by_name("accuracy").estimate(answers, QUICK)
    return Evaluation(Task.CLASSIFICATION, answers.rows, QUICK, (estimate,), {})


def test_too_few_rows_pass_nothing() -> None:
    found = decided("accuracy >= 0.5", answered(20, 20))
    assert found.outcome is Outcome.FAILED
    assert found.sentence == "accuracy is 1 on 20 rows: too few, a gate needs 30"


def test_no_worse_by_a_margin_and_better() -> None:
    stable, new = answered(950, 1000), answered(952, 1000)
    versions = {"stable": stable, "stable_version": 3}
    margin = decided("accuracy no worse than stable by 0.01", new, **versions)
    assert margin.outcome is Outcome.PASSED
    assert margin.sentence.startswith("accuracy minus that of the stable version 3 is 0.002 on 1,000 rows; the lower")
    assert margin.limit == -0.01
    assert decided("accuracy better than stable", new, **versions).outcome is Outcome.FAILED
    assert decided("accuracy better than stable", answered(970, 1000), **versions).outcome is Outcome.PASSED
    worse = decided("accuracy no worse than stable by 0.01", answered(930, 1000), **versions)
    assert worse.sentence.endswith("is -0.02 on 1,000 rows, and has to be at least -0.01")


def test_lower_is_better_for_a_loss() -> None:
    targets = np.arange(100.0)
    stable, new = Regression(targets, targets + 1.0), Regression(targets, targets + np.tile([0.7, 0.9], 50))
    gates = parse_all(
        ["mae better than stable by 0.1", "mae no worse than stable by 0.1", "mae better than stable by 0.3"]
    )
    found = decide(gates, evaluate(new, QUICK, gates=gates, stable=stable, stable_version=1))
    assert [each.outcome for each in found.answers] == [Outcome.PASSED, Outcome.PASSED, Outcome.FAILED]
    turned = decide(gates, evaluate(stable, QUICK, gates=gates, stable=new, stable_version=2))
    assert {each.outcome for each in turned.answers} == {Outcome.FAILED}


def test_without_a_stable_version_there_is_nothing_to_be_worse_than() -> None:
    gates = parse_all(["accuracy no worse than stable by 0.01", "accuracy >= 0.5"])
    found = decide(gates, evaluate(answered(90, 100), QUICK, gates=gates))
    assert [each.outcome for each in found.answers] == [Outcome.NOT_APPLICABLE, Outcome.PASSED]
    assert found.passed


@pytest.mark.parametrize("gate", ["accuracy no worse than stable by 0.5", "slice(part) accuracy better than stable"])
def test_a_stable_version_that_could_not_be_asked_fails_what_compares_with_it(gate: str) -> None:
    why = "version 3, which is stable, takes other inputs"
    found = decided(gate, answered(190, 200), columns={"part": np.zeros(200)}, not_compared=why)
    assert (found.outcome, found.sentence) == (Outcome.FAILED, f"it could not be compared: {why}")
    assert decided("accuracy >= 0.9", answered(1900, 2000), not_compared=why).outcome is Outcome.PASSED


def test_all_slices_have_to_pass_and_the_worst_is_told() -> None:
    column = np.repeat(["a", "b", "c"], 200)
    good = answered(600, 600).predicted
    labels = np.arange(600) % 2
    bad = np.where((column == "b") & (np.arange(600) % 5 == 0), 1 - labels, good)  # b is right in 160 of 200
    found = decided("slice(x) accuracy >= 0.8", Classification(labels, predicted=bad), columns={"x": column})
    assert found.outcome is Outcome.FAILED
    assert found.slice == "x=b"
    assert found.sentence.startswith(
        "1 of 3 slices fail; the worst: accuracy on x=b is 0.8 on 200 rows, but may be as low"
    )
    fine = decided("slice(x) accuracy >= 0.7", Classification(labels, predicted=bad), columns={"x": column})
    assert fine.sentence.startswith("all 3 slices pass; the worst: accuracy on x=b")
    one = decided("slice(x=a) accuracy >= 0.9", Classification(labels, predicted=bad), columns={"x": column})
    assert (one.outcome, one.slice) == (Outcome.PASSED, "x=a")


def test_a_slice_is_compared_with_the_stable_version_too() -> None:
    column = np.repeat(["a", "b"], 300)
    labels = np.arange(600) % 2
    stable = Classification(labels, predicted=labels)
    new = Classification(labels, predicted=np.where((column == "b") & (np.arange(600) % 10 == 0), 1 - labels, labels))
    gate = "slice(x) accuracy no worse than stable by 0.02"
    found = decided(gate, new, columns={"x": column}, stable=stable, stable_version=7)
    assert found.slice == "x=b"
    assert "accuracy on x=b minus that of the stable version 7 is -0.1 on 300 rows" in found.sentence


def test_a_slice_that_is_not_there_fails() -> None:
    column = np.repeat(["a", "b"], [95, 5])
    found = decided("slice(x=b) accuracy >= 0.1", answered(100, 100), columns={"x": column})
    assert found.outcome is Outcome.FAILED
    assert found.sentence == "no slice x=b with at least 30 rows; there are: a"
    tiny = decided("slice(x) accuracy >= 0.1", answered(40, 40), columns={"x": np.arange(40) % 2})
    assert tiny.sentence == "no slice of x has the 30 rows that it takes to look at one"


def test_slices_too_small_to_be_looked_at_are_told() -> None:
    column = np.repeat(["a", "b", "c"], [180, 15, 5])
    found = decided("slice(x) accuracy >= 0.5", answered(200, 200), columns={"x": column})
    assert found.outcome is Outcome.PASSED
    assert found.sentence.endswith("; nothing is known of 2 other values of x, with 20 rows in all")
    named = decided("slice(x=a) accuracy >= 0.5", answered(200, 200), columns={"x": column})
    assert "nothing is known" not in named.sentence


def test_what_cannot_be_measured_fails() -> None:
    found = decided("log_loss <= 10", answered(90, 100))
    assert found.outcome is Outcome.FAILED
    assert found.sentence == "log_loss could not be measured: the answers are classes without probabilities"
    column = np.arange(100) % 2  # which is the truth
    lone = decided("slice(x) macro_f1 >= 0.1", answered(90, 100), columns={"x": column})
    assert lone.sentence == "macro_f1 could not be measured on x=0: all rows have the class 0"


def test_a_figure_that_is_no_number_does_not_pass() -> None:
    gates = parse_all(["accuracy >= 0.5", "accuracy <= 2", "point accuracy >= 0"])
    evaluation = evaluate(answered(90, 100), QUICK)
    broken = replace(evaluation.estimates[0], value=math.nan, low=math.nan, high=math.nan)
    found = decide(gates, replace(evaluation, estimates=(broken,)))
    assert {each.outcome for each in found.answers} == {Outcome.FAILED}


def test_the_decision_says_which_failed_and_is_kept() -> None:
    gates = parse_all(["accuracy >= 0.5", "point accuracy >= 0.99"])
    found = decide(gates, evaluate(answered(90, 100), QUICK))
    assert not found.passed
    assert found.message == (
        "gate `point accuracy >= 0.99` failed: accuracy is 0.9 on 100 rows, and has to be at least 0.99"
    )
    assert Decision.from_json(found.to_json()) == found
    assert decide(gates[:1], evaluate(answered(90, 100), QUICK)).message == "all 1 gates passed"


def test_gates_that_cannot_be_answered_are_refused_before_anything_is_done() -> None:
    gates = parse_all(["accuracy >= 0.5", "mae <= 1", "slice(y) accuracy >= 0.5"])
    with pytest.raises(InvalidArgument) as refused:
        check(gates, Task.CLASSIFICATION, {"x": None})
    assert [(each.field, each.description) for each in refused.value.violations] == [
        ("gates[1]", "mae is of regression, and the answers are of classification"),
        ("gates[2]", "no column 'y' to slice by; there are: x"),
    ]


def test_numbers_that_differ_are_told_apart() -> None:
    assert told(0.949996, 0.95) == ("0.949996", "0.95")
    assert told(0.5, 0.5, 0.25) == ("0.5", "0.5", "0.25")
    assert told(math.nan, 0.5)[1] == "0.5"
