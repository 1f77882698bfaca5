"""Trainings over torch at their edges: rows that do not come out even, figures that are none, models too large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bmase.training import LocalRun
from torch import nn

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.recipes import graphs
from services.trainer.recipes.batches import Rows, plan
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.descent import Learner, descend
from services.trainer.recipes.images import train as images
from services.trainer.recipes.images.data import look
from services.trainer.recipes.images.recipe import Images
from services.trainer.recipes.recommendation import train as recommendation


class Bursting(Learner):
    """From its third step on the loss is no number."""

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1)
        self.steps = 0

    def loss(self, model: nn.Module, rows: Rows) -> torch.Tensor:
        self.steps += 1
        return model(torch.ones(len(rows), 1)).sum() * (float("nan") if self.steps > 2 else 1.0)

    def judge(self, rank: int, workers: int) -> dict[str, float]:
        return {"count": 0.0}


def test_a_loss_that_is_no_number_ends_the_training_and_says_so() -> None:
    learner = Bursting()
    with LocalRun(quiet=True) as run, pytest.raises(InvalidArgument, match="the loss is nan at step 3") as refused:
        descend(run, learner, plan(8, 2, 5, 0, 1), [(0.1, list(learner.model.parameters()))], decay=0, warm=0)
    assert refused.value.violations[0].field == 'job.parameters["learning_rate"]'
    assert [told["step"] for told in run.metrics] == [1, 2]


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_each_validation_row_counts_once(workers: int, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """160 of them: of three workers or of seven some are given a row that another one has, too."""
    alone = judged(digits, 0, 1, monkeypatch)
    shares = [judged(digits, rank, workers, monkeypatch) for rank in range(workers)]
    np.testing.assert_allclose(np.sum(shares, axis=0), alone, rtol=1e-4)
    assert alone[2] == 160


def judged(data: Path, rank: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Loss, right answers and rows of one worker's share, summed up."""
    found: list[float] = []

    def summed(_: Any, *values: Any) -> list[float]:
        found[:] = [float(value) for value in values]
        return found

    monkeypatch.setattr(images, "summed", summed)
    asked = Images(width=4, blocks=1, dropout=0.0)
    with LocalRun({"data": data}, asked.model_dump(), seed=1, rank=rank, world_size=workers, quiet=True) as run:
        images.Training(run, asked, look(run, asked)).validate()
    return found


def test_a_model_that_fits_into_no_file_is_not_trained_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_BYTES", 1000)
    np.savez(tmp_path / "likes.npz", user=np.arange(100) % 10, item=np.arange(100) % 7)
    asked = by_name("recommendation").check({"epochs": 1}).model_dump()
    with (
        LocalRun({"data": tmp_path / "likes.npz"}, asked, quiet=True) as run,
        pytest.raises(DomainError, match="one ONNX file takes at most"),
    ):
        recommendation.main(run)
    assert run.metrics == []
