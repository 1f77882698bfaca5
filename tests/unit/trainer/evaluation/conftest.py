"""Answers of made-up versions, whose true worth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.trainer.evaluation.answers import Classification


def classifier(rows: int, sure: float = 3.0, seed: int = 1, classes: int = 3) -> Classification:
    """Softmax of Gaussian noise with the true class raised by `sure`; the truth depends on rows and classes only."""
    labels = np.random.default_rng(0).integers(0, classes, rows)
    logits = np.random.default_rng(seed).normal(size=(rows, classes))
    logits[np.arange(rows), labels] += sure
    odds = np.exp(logits)
    return Classification(labels, odds / odds.sum(axis=1, keepdims=True))


@pytest.fixture(scope="session")
def classify() -> Callable[..., Classification]:
    return classifier
