"""Optuna as the one that proposes: TPE for the next parameters, the median rule for giving up early.

Every trial has a sampler of its own, seeded by the search's seed and the trial's number: a study that is rebuilt from
its trials goes on exactly as it would have gone on without the interruption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from services.trainer.search.trials import State, Trial, best_value
from services.trainer.search.wish import Choices, Range, Wish

# Trials at random before the sampler models anything, and complete ones before anything is given up.
MOST_AT_RANDOM, BEFORE_PRUNING, AT_LEAST = 10, 4, 2
_STATES = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


class Study:
    """The trials of one search; one is asked for, reported on and told at a time."""

    def __init__(self, wish: Wish, seed: int, done: Sequence[Trial] = ()) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._wish, self._seed = wish, seed
        self._distributions = {name: _distribution(entry) for name, entry in wish.space.items()}
        pruner = optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING, n_min_trials=AT_LEAST)
        self._study = optuna.create_study(direction=wish.direction, pruner=pruner)
        self.trials: list[Trial] = []
        for trial in done:
            self._study.add_trial(self._frozen(trial))
            self.trials.append(trial)

    def ask(self) -> Proposal:
        """The next parameters to try."""
        number = len(self.trials)
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=min(MOST_AT_RANDOM, max(3, self._wish.trials // 4)), seed=_seed(self._seed, number)
        )
        return Proposal(number, self._wish, self._study.ask(self._distributions))

    def tell(self, proposal: Proposal, state: State, message: str = "") -> Trial:
        """How it ended; a complete one without a number has failed."""
        trial = proposal.ended(state, message)
        value = trial.value if trial.state is State.COMPLETE else None
        self._study.tell(proposal.trial, value, _STATES[trial.state])
        self.trials.append(trial)
        return trial

    def importance(self) -> dict[str, float]:
        """Each parameter's share in what made the difference (PED-ANOVA, Watanabe, Bansal, Hutter 2023)."""
        values = {trial.value for trial in self.trials if trial.state is State.COMPLETE}
        if len(values) < AT_LEAST or len(self._distributions) < AT_LEAST:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items() if math.isfinite(share)}

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        return optuna.trial.create_trial(
            state=_STATES[trial.state],
            value=trial.value if trial.state is State.COMPLETE else None,
            params=dict(trial.drawn),
            distributions=self._distributions,
            intermediate_values=dict(enumerate(trial.reports)),
        )


class Proposal:
    """A trial that runs. It is compared with others report by report, for their steps may be of other sizes."""

    def __init__(self, number: int, wish: Wish, trial: optuna.trial.Trial) -> None:
        self.number, self.trial = number, trial
        self.parameters = {name: _value(wish.space[name], drawn) for name, drawn in trial.params.items()}
        self._direction = wish.direction
        self._reports: list[float] = []

    def report(self, value: float) -> bool:
        """Takes the metric as it is now; whether to give up."""
        self.trial.report(value, len(self._reports))
        self._reports.append(value)
        return self.trial.should_prune()

    @property
    def value(self) -> float | None:
        return best_value(self._reports, self._direction)

    def ended(self, state: State, message: str) -> Trial:
        if state is State.COMPLETE and self.value is None:
            state, message = State.FAILED, message or "the metric was never a number"
        drawn, reports = dict(self.trial.params), tuple(self._reports)
        return Trial(self.number, drawn, self.parameters, state, reports, self.value, message)


def _distribution(entry: Range | Choices) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution(tuple(range(len(entry.choices))))
    if entry.whole:
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
    return FloatDistribution(float(entry.low), float(entry.high), log=entry.log, step=entry.step)


def _value(entry: Range | Choices, drawn: Any) -> Any:
    return entry.choices[drawn] if isinstance(entry, Choices) else drawn


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def document(wish: Wish, trials: Sequence[Trial], best: Trial, importance: Mapping[str, float]) -> dict[str, Any]:
    """The search as evidence; trials have the numbers of their series, from 1 on."""
    told = ("parameters", "state", "value", "reports", "message")
    rows = [{"number": trial.number + 1, **{name: getattr(trial, name) for name in told}} for trial in trials]
    return {
        "search": wish.model_dump(mode="json", exclude={"own"}),
        "best": {"trial": best.number + 1, "value": best.value, "parameters": dict(best.parameters)},
        "importance": dict(importance),
        "trials": rows,
    }
