"""Steps of gradient descent over rows in memory: workers, checkpoints, the best epoch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from bmase.training import Run
from bmase.training.torch import bare, load, prepare, seeded, state, summed, weights
from torch import nn

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.batches import Plan, Rows, share
from services.trainer.recipes.schedule import warm_cosine
from services.trainer.recipes.stopping import Best

Rates = Sequence[tuple[float, list[nn.Parameter]]]  # the highest learning rate of each group of parameters
CLIP = 1.0  # largest norm of a gradient


class Learner(ABC):
    """What a recipe learns. All workers start from the same weights, as all draw them by the run's seed."""

    model: nn.Module

    @abstractmethod
    def loss(self, model: nn.Module, rows: Rows) -> torch.Tensor:
        """The loss summed over these training rows; `model` is to be called in place of `self.model`."""

    @abstractmethod
    def judge(self, rank: int, workers: int) -> Mapping[str, float]:
        """Sums over this worker's share of the validation rows, with their "count"; a count of 0: there are none."""

    def told(self, means: Mapping[str, float]) -> dict[str, float]:
        """What is reported of the means over all validation rows."""
        return {f"val_{name}": value for name, value in means.items()}

    def cost(self, told: Mapping[str, float]) -> float:
        """By which the best epoch is chosen: the lower, the better."""
        return told["val_loss"]


def settle(run: Run) -> None:
    """What is drawn or added up afterwards comes out the same for the same seed, number of threads and of workers."""
    torch.set_num_threads(max(1, run.threads))
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads what it did not write
    seeded(run)


def descend(
    run: Run,
    learner: Learner,
    plan: Plan,
    rates: Rates,
    *,
    decay: float,
    warm: float,
    patience: int = 0,
) -> dict[str, float]:
    """Takes all steps that are left and leaves the best epoch's weights in the learner's model; gives their metrics.

    InvalidArgument when the loss is no number any more.
    """
    descent = _Descent(run, learner, plan, rates, decay=decay, warm=warm, patience=patience)
    for step, rows in descent.left():
        descent.step(step, rows)
        if (step + 1) % plan.steps_per_epoch == 0:
            descent.judge((step + 1) // plan.steps_per_epoch)
        if run.due(step + 1):
            run.checkpoint(step + 1, descent.state())
    return descent.end()


class _Descent:
    """Where a training is between two steps."""

    def __init__(
        self,
        run: Run,
        learner: Learner,
        plan: Plan,
        rates: Rates,
        *,
        decay: float,
        warm: float,
        patience: int,
    ) -> None:
        self._run, self._learner, self._plan, self._warm = run, learner, plan, warm
        self._rates = [rate for rate, _ in rates]
        self._trained = [each for _, group in rates for each in group]
        self._model = prepare(run, learner.model)
        self._optimiser = torch.optim.AdamW([{"params": group} for _, group in rates], weight_decay=decay)
        self._best = Best(patience)
        self._told: dict[str, float] = {}
        self._start = self._go_on()

    def _go_on(self) -> int:
        saved = self._run.resume()
        if saved is None:
            return 0
        load(self._model, self._optimiser, saved.state["training"])
        self._best.load(saved.state["best"])
        self._told = dict(saved.state["told"])
        return saved.step

    def state(self) -> dict[str, Any]:
        """Everything that the steps still to come depend on."""
        return {"training": state(self._model, self._optimiser), "best": self._best.state(), "told": self._told}

    def left(self) -> Iterator[tuple[int, Rows]]:
        """The steps that are still to be taken, counted from 0, with the rows of each."""
        each = self._plan.steps_per_epoch
        for epoch in range(self._start // each, self._plan.epochs):
            for place, rows in enumerate(self._plan.of_epoch(epoch)):
                if self._best.over:
                    return
                if (step := epoch * each + place) >= self._start:
                    yield step, rows

    def step(self, step: int, rows: Rows) -> None:
        run = self._run
        seeded(run, step + 1)
        factor = warm_cosine(step, self._plan.steps, self._warm)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self._model.train()
        mine = share(rows, run.rank, run.world_size)
        loss = self._learner.loss(self._model, mine)
        self._optimiser.zero_grad()
        # The mean over all rows of the batch: gradients are averaged over workers, whose shares may differ by a row.
        (loss * run.world_size / len(rows)).backward()
        nn.utils.clip_grad_norm_(self._trained, CLIP)
        self._optimiser.step()
        mean = float(loss.detach()) / len(mine)
        if not math.isfinite(mean):  # nor are the weights from here on, of any worker
            words = f"the loss is {mean} at step {step + 1}: take a lower one"
            raise InvalidArgument([Violation('job.parameters["learning_rate"]', words)])
        self._report(step + 1, loss=mean)

    def judge(self, epoch: int) -> None:
        told = judged(self._run, self._learner)
        if told:
            self._report(epoch * self._plan.steps_per_epoch, **told)
        # Where there is nothing to choose by, the last epoch is the best one.
        if self._best.better(self._learner.cost(told) if told else -epoch):
            self._best.weights, self._told = weights(self._model), {**told, "epoch": epoch}

    def end(self) -> dict[str, float]:
        if self._run.first:  # who alone has them, and makes the product
            bare(self._model).load_state_dict(self._best.weights)
        return self._told

    def _report(self, step: int, **metrics: float) -> None:
        self._run.report(step, total=self._plan.steps, epoch=step / self._plan.steps_per_epoch, **metrics)  # type: ignore[arg-type]


def judged(run: Run, learner: Learner) -> dict[str, float]:
    """What is to be told of the validation rows, the same in all workers; empty when there are none."""
    learner.model.eval()
    with torch.no_grad():
        sums = dict(learner.judge(run.rank, run.world_size))
    names = sorted(sums)
    found = dict(zip(names, summed(run, *(sums[name] for name in names)), strict=True))
    count = found.pop("count")
    return learner.told({name: value / count for name, value in found.items()}) if count else {}
