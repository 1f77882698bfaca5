"""The whole record: complete, repeatable, and the same after it was kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Answers, Classification, Language, Ranking, Regression
from services.trainer.evaluation.card import Card, markdown
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.evaluate import Evaluation, evaluate
from services.trainer.evaluation.gates.decide import decide
from services.trainer.evaluation.gates.parse import parse_all

QUICK = Setting(resamples=200)
Classify = Callable[..., Classification]
LIKELY = np.array([[0.9, 0.1]] * 20 + [[0.2, 0.8]] * 20)


@pytest.mark.parametrize(
    ("answers", "names"),
    [
        (
            Classification(np.arange(40) % 2, LIKELY),
            {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auroc", "brier", "ece"},
        ),
        (Regression(np.arange(40.0), np.arange(40.0) + 1), {"mae", "rmse", "r2"}),
        (
            Ranking(np.eye(40), np.eye(40)[::-1]),
            {"hit@1", "hit@5", "hit@10", "ndcg@1", "ndcg@5", "ndcg@10"},
        ),
        (Language(np.arange(1.0, 41), np.full(40, 10)), {"perplexity"}),
    ],
)
def test_each_task_has_its_metrics(answers: Answers, names: set[str]) -> None:
    found = evaluate(answers, QUICK, columns={"half": np.arange(40) < 20}, stable=answers, stable_version=1)
    assert set(found.metrics) == names
    assert found.comparison is not None
    assert {each.metric for each in found.comparison.differences} == names
    assert all(each.low <= each.value <= each.high for each in found.estimates)
    assert Evaluation.from_json(found.to_json()) == found


def test_the_same_again_is_the_same_and_another_seed_is_not(classify: Classify) -> None:
    first, again = (evaluate(classify(100), QUICK).to_json() for _ in range(2))
    assert first == again
    assert first != evaluate(classify(100), Setting(resamples=200, seed=1)).to_json()


def test_why_there_is_no_comparison_is_kept_and_stands_on_the_card(classify: Classify) -> None:
    found = evaluate(classify(100), QUICK, not_compared="version 3 takes `other` inputs")
    assert Evaluation.from_json(found.to_json()) == found
    heading = "## Not compared with the stable version\n\nversion 3 takes \\`other\\` inputs"
    assert heading in markdown(Card("digits", evaluation=found))
    assert "Not compared" not in markdown(Card("digits", evaluation=evaluate(classify(100), QUICK)))
    with pytest.raises(InvalidArgument):
        evaluate(classify(100), QUICK, stable=classify(100), stable_version=3, not_compared="it was")


def test_gates_and_names_add_metrics_and_slices() -> None:
    gates = parse_all(["slice(half) ndcg@3 >= 0.1"])
    found = evaluate(
        Ranking(np.eye(80), np.eye(80)), QUICK, gates=gates, metrics=["hit@20"], columns={"half": np.arange(80) < 40}
    )
    assert {"hit@20", "ndcg@3"} < set(found.metrics)
    assert found.slices is not None
    assert [[look.estimate.metric for look in each.looks] for each in found.slices.found] == [["hit@1", "ndcg@3"]] * 2


def test_what_does_not_fit_is_refused(classify: Classify) -> None:
    answers = classify(50)
    with pytest.raises(InvalidArgument, match="stable_version: goes with"):
        evaluate(answers, QUICK, stable=answers)
    with pytest.raises(InvalidArgument, match="mae is of regression"):
        evaluate(answers, QUICK, metrics=["mae"])
    with pytest.raises(InvalidArgument, match=r"level: 1\.0 is out of its bounds; resamples"):
        Setting(level=1.0, resamples=5)


def test_a_record_that_was_changed_is_refused_by_field(classify: Classify) -> None:
    text = evaluate(classify(50), QUICK).to_json()
    with pytest.raises(InvalidArgument, match=r"rows: .*integer"):
        Evaluation.from_json(text.replace('"rows": 50,\n "setting"', '"rows": "many",\n "setting"'))
    with pytest.raises(InvalidArgument, match="JSON"):
        Evaluation.from_json("{")
    with pytest.raises(InvalidArgument, match="unknown"):
        Evaluation.from_json(text.replace('"task"', '"unknown": 1, "task"', 1))


def test_infinite_ends_are_kept() -> None:
    one = evaluate(Regression([1.0], [2.0]), QUICK)
    assert one.estimate("mae") is not None
    assert one.left_out == {"r2": "all targets are the same number"}
    assert Evaluation.from_json(one.to_json()) == one


def test_the_card_says_what_is_known_and_nothing_that_was_smuggled_in(classify: Classify) -> None:
    gates = parse_all(["accuracy >= 0.999", "accuracy no worse than stable by 0.01"])
    new, stable = classify(300), classify(300, seed=2)
    found = evaluate(new, QUICK, gates=gates, columns={"x|y": np.arange(300) % 3}, stable=stable, stable_version=3)
    card = Card(
        "digits",
        4,
        description="Reads <script>digits</script>\n# and more",
        data={"uri": "file:///data", "rows": 1500},
        parameters={"rate": 0.1, "layers": [1, 2]},
        lineage={"code": "sha256:ab"},
        evaluation=found,
        decision=decide(gates, found),
        pictures={"Confusion": "confusion.png"},
    )
    text = markdown(card)
    lines = text.splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert headings == [
        "# digits, version 4",
        "## Gates",
        "## Evaluation",
        "## Compared with version 3",
        "## Calibration",
        "## Slices",
        "## Data",
        "## Parameters",
        "## Lineage",
        "## Pictures",
    ]
    assert "<script>" not in text
    assert "**Failed: this version is not to be released.**" in text
    assert "| layers | \\[1, 2] |" in lines
    assert "![Confusion](<confusion.png>)" in lines
    assert sum(line.startswith("| x\\|y=") for line in lines) == 3
    accuracy = found.estimate("accuracy")
    assert accuracy is not None
    assert any(line.startswith(f"| accuracy | {accuracy.value:.4g} | {accuracy.low:.4g} to") for line in lines)
    tables = [line for line in lines if line.startswith("|") and not line.startswith("|--")]
    assert all(line.endswith(" |") for line in tables)
    assert Card.from_json(card.to_json()) == card


def test_a_card_of_little_is_short() -> None:
    assert markdown(Card("digits", 1)) == "# digits, version 1\n\nIt was not evaluated.\n"
