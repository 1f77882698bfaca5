"""Verdicts on untouched rows, and what is refused before anything is computed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.ensembles.rows import Kind, Rows
from services.trainer.ensembles.tuning import Policy, Report, Verdict, judge, tune
from tests.unit.trainer.ensembles import court

CLASSES = Kind.PROBABILITIES


def views(seed: int, n: int = 600) -> Rows:
    return court.views(n, seed)


def test_views_that_err_apart_are_better_together() -> None:
    report = tune(views(1), views(2), CLASSES)
    assert report.verdict is Verdict.BETTER
    assert report.accepted
    assert sum(report.weights.values()) == pytest.approx(1)
    assert all(member.gain.lower > 0 for member in report.members.values())
    assert all(m.gain.mean == pytest.approx(m.loss.mean - report.loss.mean) for m in report.members.values())
    assert report.sentence.startswith("better than every member; nearest is m")
    assert "on 600 untouched rows" in report.sentence


def test_numbers_are_tuned_by_their_squared_loss() -> None:
    report = tune(court.numbers(600, 1), court.numbers(600, 2), Kind.NUMBERS)
    assert report.verdict is Verdict.BETTER
    assert "squared loss" in report.sentence
    assert report.weights["m2"] < min(report.weights["m0"], report.weights["m1"])


def test_twenty_noise_members_do_not_pretend_a_gain() -> None:
    reports = [tune(court.hopeless(250, seed), court.hopeless(250, seed + 500), CLASSES) for seed in range(12)]
    assert [report for report in reports if report.verdict is Verdict.BETTER] == []
    assert np.mean([report.weights["true"] == 1 for report in reports]) >= 0.9


def test_a_gain_of_nothing_is_called_better_as_seldom_as_promised() -> None:
    """Variances 1 and 3: the average of both has 1 again, so its gain against the first is 0."""
    spread = (1.0, 3.0**0.5)
    tuning = court.numbers(250, 0, spread)
    tests = [court.numbers(250, seed, spread) for seed in range(1, 401)]
    reports = [judge({"m0": 1, "m1": 1}, tuning, test, Kind.NUMBERS) for test in tests]
    called = np.mean([report.verdict is Verdict.BETTER for report in reports])
    worse = np.mean([report.verdict is Verdict.WORSE for report in reports])
    assert 0.005 <= called <= 0.055
    assert 0.005 <= worse <= 0.055


def test_identical_members_are_no_ensemble() -> None:
    def same(seed: int) -> Rows:
        rows = views(seed)
        return Rows(dict.fromkeys("abc", rows.predictions["m0"]), rows.labels)

    report = tune(same(1), same(2), CLASSES)
    assert report.verdict is Verdict.NOT_BETTER
    assert report.weights == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert report.sentence.startswith("not better: all weight is on a")


def test_rounding_is_no_gain() -> None:
    rows = views(1)
    same = Rows(dict.fromkeys("abc", rows.predictions["m0"]), rows.labels)
    assert judge(dict.fromkeys("abc", 0.7), same, same, CLASSES).verdict is Verdict.NOT_BETTER


def test_a_perfect_member_is_left_alone() -> None:
    def rows(seed: int) -> Rows:
        noisy = court.numbers(300, seed)
        return Rows({**noisy.predictions, "perfect": noisy.labels}, noisy.labels)

    report = tune(rows(1), rows(2), Kind.NUMBERS)
    assert (report.best, report.weights["perfect"], report.loss.mean) == ("perfect", 1.0, 0.0)
    assert report.verdict is Verdict.NOT_BETTER


def test_members_that_always_say_the_same() -> None:
    def rows(seed: int) -> Rows:
        labels = np.random.default_rng(seed).integers(0, 2, size=400)
        return Rows({"half": np.full((400, 2), 0.5), "sure": np.tile([0.9, 0.1], (400, 1))}, labels)

    report = tune(rows(1), rows(2), CLASSES)
    assert (report.verdict, report.weights) == (Verdict.NOT_BETTER, {"half": 1.0, "sure": 0.0})


def test_what_was_good_on_the_tuning_rows_only_is_called_worse() -> None:
    report = judge({"m0": 0, "m1": 0, "m2": 1}, court.numbers(300, 1), court.numbers(300, 2), Kind.NUMBERS)
    assert report.verdict is Verdict.WORSE
    assert report.sentence.startswith(f"worse than {report.best}, which was best on the tuning rows")


def test_better_means_better_than_every_member_not_than_the_one_that_seemed_best() -> None:
    tuning, test = court.numbers(600, 1), court.numbers(600, 2)
    fooled = Rows({**test.predictions, "m2": test.labels + 0.01}, test.labels)
    report = tune(tuning, fooled, Kind.NUMBERS)
    assert report.members[report.best].gain.lower > 0
    assert report.verdict is Verdict.NOT_BETTER
    assert "not surely better than m2" in report.sentence


def test_force_is_recorded_and_changes_nothing_else() -> None:
    tuning, test = court.hopeless(300, 1), court.hopeless(300, 2)
    plain, forced = tune(tuning, test, CLASSES), tune(tuning, test, CLASSES, force=True)
    assert (plain.accepted, forced.accepted, forced.forced) == (False, True, True)
    assert replace(forced, forced=False) == plain


@pytest.mark.parametrize(
    ("sizes", "where"), [((199, 600), "199 independent tuning rows"), ((600, 150), "150 independent test rows")]
)
def test_too_few_rows_decide_nothing(sizes: tuple[int, int], where: str) -> None:
    report = tune(views(1, sizes[0]), views(2, sizes[1]), CLASSES)
    assert report.verdict is Verdict.TOO_FEW_ROWS
    assert where in report.sentence
    assert not report.accepted
    if sizes[0] < 200:
        assert report.weights == pytest.approx(dict.fromkeys(report.weights, 1 / 3))


def test_many_members_need_more_rows() -> None:
    tuning, test = (court.hopeless(300, seed, noise_members=30) for seed in (1, 2))
    assert "300 independent tuning rows where 310 are needed" in tune(tuning, test, CLASSES).sentence


def test_rows_of_a_user_are_one_observation() -> None:
    def users(seed: int) -> Rows:
        rows = views(seed, 300)
        predictions = {name: np.repeat(p, 4, axis=0) for name, p in rows.predictions.items()}
        return Rows(predictions, np.repeat(rows.labels, 4), np.repeat([f"user {n}" for n in range(300)], 4))

    each, repeated = tune(views(1, 300), views(2, 300), CLASSES), tune(users(1), users(2), CLASSES)
    assert repeated.rows == each.rows == (300, 300)
    assert repeated.loss.lower == pytest.approx(each.loss.lower)


def test_a_gain_that_is_asked_for_has_to_be_reached() -> None:
    gain = min(member.gain.lower for member in tune(views(1), views(2), CLASSES).members.values())
    assert tune(views(1), views(2), CLASSES, Policy(min_gain=0.9 * gain)).verdict is Verdict.BETTER
    assert tune(views(1), views(2), CLASSES, Policy(min_gain=1.1 * gain)).verdict is Verdict.NOT_BETTER


def test_the_report_is_a_document() -> None:
    report = tune(views(1), views(2), CLASSES)
    document = json.loads(json.dumps(report.document(), allow_nan=False))
    assert document["verdict"] == "better"
    assert set(document["members"]["m0"]) == {"weight", "loss", "gain"}
    assert report.tuned is not None
    assert document["tuned"]["candidate"] == {"anchor": "equal", "strength": report.tuned.candidate.strength}
    assert document["accepted"] is True


def with_member(array: Any) -> Rows:
    rows = views(1)
    return Rows({**rows.predictions, "bad": array}, rows.labels)


def spoilt(value: float) -> np.ndarray:
    array = np.full((600, 3), 1 / 3)
    array[7] = value
    return array


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (spoilt(np.nan), "1 of 600 rows have NaN or infinity"),
        (spoilt(np.inf), "1 of 600 rows have NaN or infinity"),
        (spoilt(4.0), "values go from 0.3333 to 4; give probabilities"),
        (spoilt(0.2), "a row of probabilities sums to 0.6"),
        (np.full((599, 3), 1 / 3), "it has shape [599, 3], that of 'm0' is [600, 3]"),
        (np.full((600, 2), 0.5), "it has shape [600, 2]"),
        (np.zeros((600, 3, 1)), "where [rows, values] is needed"),
        (np.full((600, 3), "a"), "where numbers are needed"),
    ],
)
def test_what_is_no_prediction_is_refused_by_name(array: np.ndarray, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tune(with_member(array), views(2), CLASSES)
    (violation,) = caught.value.violations
    assert violation.field == "tuning.predictions[bad]"
    assert why in violation.description


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.zeros(599, int), "[599]"),
        (np.full(600, 3), "classes go from 3 to 3, but members tell 0 to 2 apart"),
        (np.full(600, -1), "classes go from -1"),
        (np.zeros(600), "one class number a row"),
    ],
)
def test_what_is_no_label_is_refused(labels: np.ndarray, why: str) -> None:
    with pytest.raises(InvalidArgument, match=r"test\.labels") as caught:
        tune(views(1), replace(views(2), labels=labels), CLASSES)
    assert why in caught.value.message


def test_rows_have_to_be_about_the_same_members() -> None:
    other = Rows(dict(zip("abc", views(2).predictions.values(), strict=True)), views(2).labels)
    with pytest.raises(InvalidArgument, match="they are of a, b, c, the tuning rows' of m0, m1, m2"):
        tune(views(1), other, CLASSES)
    alone = Rows({"m0": views(1).predictions["m0"]}, views(1).labels)
    with pytest.raises(InvalidArgument, match="at least 2 members, not 1"):
        tune(alone, alone, CLASSES)


def test_one_group_says_nothing() -> None:
    with pytest.raises(InvalidArgument, match="only one independent row or group"):
        tune(replace(views(1), groups=np.zeros(600)), views(2), CLASSES)


@pytest.mark.parametrize("weights", [{"m0": 1.0}, {"m0": -1, "m1": 1, "m2": 1}, {"m0": 0, "m1": 0, "m2": 0}])
def test_weights_given_by_hand_are_checked(weights: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="weights"):
        judge(weights, views(1), views(2), CLASSES)


def test_weights_given_by_hand_are_scaled() -> None:
    report: Report = judge({"m0": 2, "m1": 1, "m2": 1}, views(1), views(2), CLASSES)
    assert report.weights == {"m0": 0.5, "m1": 0.25, "m2": 0.25}
    assert report.tuned is None
