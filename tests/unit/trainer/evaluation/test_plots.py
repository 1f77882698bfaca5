"""Pictures are PNG, the same each time, and show what they are about."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.kit.errors import InvalidArgument
from services.trainer.evaluation import plots
from services.trainer.evaluation.answers import Classification, Regression
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.evaluate import evaluate

QUICK = Setting(resamples=100)
Classify = Callable[..., Classification]


def opened(picture: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def test_all_pictures_of_a_classification(classify: Classify) -> None:
    answers = classify(200)
    evaluation = evaluate(answers, QUICK, metrics=[], columns={"x": np.arange(200) % 4})
    found = plots.pictures(answers, evaluation)
    assert list(found) == ["confusion.png", "reliability.png", "roc.png", "slices.png"]
    for name, picture in found.items():
        assert opened(picture).std() > 10, name  # something is drawn
    assert plots.confusion(answers) == found["confusion.png"]


def test_matplotlibs_global_state_is_left_alone(classify: Classify) -> None:
    plots.confusion(classify(50))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_mistakes_show_off_the_diagonal(classify: Classify) -> None:
    right = Classification([0, 1] * 20, predicted=[0, 1] * 20)
    wrong = Classification([0, 1] * 20, predicted=[1, 0] * 20)
    corner = (slice(80, 120), slice(120, 160))  # inside of the first cell
    assert opened(plots.confusion(right))[corner].mean() < opened(plots.confusion(wrong))[corner].mean() - 50


def test_a_regression_has_residuals_and_many_rows_are_thinned() -> None:
    targets = np.random.default_rng(30).normal(size=100_000)
    answers = Regression(targets, targets * 0.9)
    assert list(plots.pictures(answers, evaluate(answers.take(np.arange(50)), QUICK))) == ["residuals.png"]
    assert len(plots.residuals(answers)) < 150_000


def test_what_cannot_be_drawn_is_refused(classify: Classify) -> None:
    with pytest.raises(InvalidArgument, match="a ROC curve needs them"):
        plots.roc(Classification([0, 1], predicted=[0, 1]))
    with pytest.raises(InvalidArgument, match="no slice was looked at by accuracy"):
        plots.forest(evaluate(classify(40), QUICK), "accuracy")
