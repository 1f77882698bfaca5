"""What a version looks at on the whole, where it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from bmase.training import Cases

from services.kit.errors import InvalidArgument
from services.trainer.explanations import globally, pictures
from services.trainer.explanations.document import Explanation
from services.trainer.explanations.globally import LEAST_ROWS, explain_globally

Arrays = Mapping[str, np.ndarray]
ROWS, PLANTED = 200, 3


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def classifier(inputs: Arrays) -> Arrays:
    """Looks at one column, and a little at another."""
    score = 4 * inputs["x"][:, PLANTED] + 0.5 * inputs["x"][:, 0]
    return {"probabilities": softmax(np.stack([-score, score], axis=1))}


def cases(seed: int = 0) -> Cases:
    x = np.random.default_rng(seed).normal(size=(ROWS, 5)).astype(np.float32)
    return Cases({"x": x}, {"labels": (x[:, PLANTED] > 0).astype(np.int64)})


def test_a_planted_feature_comes_first_and_what_is_not_looked_at_is_worth_nothing() -> None:
    found = explain_globally(classifier, cases(), task="classification", names={"x": list("abcde")})
    assert [one.name for one in found.importances[:2]] == ["d", "a"]
    first, second, *rest = found.importances
    assert first.loss_bounds.low > second.loss_bounds.high > second.loss > 0
    assert all(one.loss == 0 and one.share is not None and one.share < 1e-9 for one in rest)
    assert first.share is not None
    assert second.share is not None
    assert first.share > second.share > 0
    assert (found.loss, found.whole, found.rows, found.repeats) == ("cross-entropy", True, ROWS, 5)


def test_logits_and_numbers_of_one_column_are_classes_as_well() -> None:
    told = {
        logits: explain_globally(
            lambda i, logits=logits: {"y": 8 * i["x"][:, :1] if logits else 1 / (1 + np.exp(-8 * i["x"][:, :1]))},
            Cases(cases().inputs, {"labels": (cases().inputs["x"][:, 0] > 0).astype(np.int64)}),
            task="classification",
            logits=logits,
        )
        for logits in (True, False)
    }
    for found in told.values():
        assert found.importances[0].player == 0
        assert found.importances[0].loss > 1
    assert told[True].base_loss == pytest.approx(told[False].base_loss, rel=1e-3)


def test_a_regression_is_judged_by_its_squared_error() -> None:
    x = cases().inputs["x"]
    found = explain_globally(
        lambda i: {"y": 2 * i["x"][:, 1]}, Cases({"x": x}, {"targets": 2 * x[:, 1]}), task="regression"
    )
    assert (found.loss, found.base_loss) == ("squared error", 0)
    # Of two independent rows the expected square of the difference is twice the variance, times two squared.
    assert found.importances[0].player == 1
    assert found.importances[0].loss_bounds.low < 8 * x[:, 1].var() < found.importances[0].loss_bounds.high


def test_without_truth_it_is_told_how_far_answers_move() -> None:
    found = explain_globally(classifier, Cases(cases().inputs, {}))
    assert (found.loss, found.base_loss) == ("change of the output", 0)
    assert [one.player for one in found.importances[:2]] == [PLANTED, 0]


def test_regions_of_pictures_and_inputs_that_stay() -> None:
    random = np.random.default_rng(1)
    image = random.random((80, 1, 12, 12)).astype(np.float32)
    inputs = {"image": image, "mask": np.ones((80, 3))}
    look = lambda i: {"y": i["image"][:, 0, 4:8, 8:12].sum(axis=(1, 2)) * i["mask"][:, 0]}  # noqa: E731
    given = Cases(inputs, {"targets": look(inputs)["y"]})
    found = explain_globally(look, given, task="regression", patch=4, keep=["mask"], repeats=2)
    assert found.importances[0].name == "image[4:8, 8:12]"
    assert len(found.importances) == 9
    assert set(pictures.pictures(found)) == {"importance.png", "importance-image.png"}


def test_the_same_seed_gives_the_same_document_and_it_reads_itself_back() -> None:
    one, same, other = (explain_globally(classifier, cases(), rows=50, seed=seed) for seed in (1, 1, 2))
    assert one.to_json() == same.to_json() != other.to_json()
    assert Explanation.from_json(one.to_json()) == one
    assert one.players().names == tuple(f"x[{i}]" for i in range(5))


def clock(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def test_short_of_time_fewer_rows_are_used_and_each_part_is_tried() -> None:
    ticks = clock(1.0)
    found = explain_globally(classifier, cases(), seconds=4.0, clock=lambda: next(ticks))
    assert LEAST_ROWS <= found.rows < ROWS


def test_out_of_time_what_was_not_tried_is_not_listed() -> None:
    ticks = clock(10.0)
    found = explain_globally(classifier, cases(), seconds=1.0, clock=lambda: next(ticks))
    assert not found.whole
    assert len(found.importances) == 1
    assert (found.repeats, found.share_rows, found.importances[0].share) == (0, 0, None)


def test_shapley_values_that_would_take_too_long_are_not_begun() -> None:
    now = 0.0

    def slow(inputs: Arrays) -> Arrays:
        nonlocal now
        now += 0.01 * len(inputs["x"])
        return classifier(inputs)

    asked = {"task": "classification", "rows": 30, "repeats": 1, "clock": lambda: now}
    found = explain_globally(slow, cases(), seconds=3.0, **asked)  # type: ignore[arg-type]
    assert (found.whole, found.share_rows) == (True, 0)
    assert now < 3.0
    now = 0.0
    assert explain_globally(slow, cases(), seconds=6.0, **asked).share_rows == 1  # type: ignore[arg-type]
    assert now < 6.0


def test_of_very_many_parts_there_are_no_shapley_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globally, "MOST_SHARED", 4)
    found = explain_globally(classifier, cases(), task="classification", rows=50, repeats=1)
    assert (found.whole, found.share_rows, found.importances[0].player) == (True, 0, PLANTED)
    assert found.importances[0].share is None


def test_wide_outputs_are_held_for_fewer_rows_and_the_widest_are_refused() -> None:
    seen: list[int] = []

    def wide(inputs: Arrays, values: int) -> Arrays:
        seen.append(len(inputs["x"]))
        return {"y": np.broadcast_to(inputs["x"][:, :1], (len(inputs["x"]), values))}

    given = Cases({"x": np.random.default_rng(0).normal(size=(900, 2))}, {})
    found = explain_globally(lambda i: wide(i, 20_000), given, rows=900, repeats=1, clock=lambda: 0.0)
    assert found.rows <= 400
    assert found.importances[0].player == 0
    assert max(seen) <= 256
    with pytest.raises(InvalidArgument) as caught:
        explain_globally(lambda i: wide(i, 20_001), given)
    assert "20001 values a row" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "more", "words"),
    [
        (Cases({"x": np.zeros((3, 2)), "z": np.zeros((2, 2))}, {}), {}, "same number of rows"),
        (Cases({"x": np.zeros((3, 5))}, {}), {"output": "z"}, "no output 'z'; there are: probabilities"),
        (Cases({"x": np.zeros((3, 5))}, {"labels": np.array([0, 1, 2])}), {"task": "classification"}, "2 classes"),
        (Cases({"x": np.zeros((3, 5))}, {}), {"keep": ["x"]}, "no input is left"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: Cases, more: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        explain_globally(classifier, given, **more)  # type: ignore[arg-type]
    assert words in str(caught.value)
