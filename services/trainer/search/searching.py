"""A search and the training with what it found, within one job; runs in every worker, and goes on where it was.

After each trial there is a checkpoint with all trials so far. A trial that was interrupted is made again from its
beginning, with the same parameters.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmase.reasons import Reason
from bmase.training import Run, Saved

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.search.nested import Files, FinalRun, Pruned, TrialRun
from services.trainer.search.together import Together, together
from services.trainer.search.trials import State, Trial, best_of, from_plain, to_plain
from services.trainer.search.wish import KEY, Wish

if TYPE_CHECKING:
    from services.trainer.search.study import Proposal, Study

Main = Callable[[Run], None]
EVIDENCE = "search.json"
# So many trials without a single good one: it is the code or the data, not the parameters.
HOPELESS = 3


def train(run: Run, main: Main, wish: Wish) -> None:
    """Calls `main` for each trial, and once more with the best parameters, whose product is the job's.

    What `main` raises in the last training is raised; in trials see `Search`.
    """
    search = Search(run, main, wish, together(run))
    parameters = search.run()
    search.finish(parameters)


class Search:
    """Only rank 0 has a study; what it decides is told to the others.

    A trial whose code raises is a failed one if there is one worker. Of several, one that raises leaves the others
    waiting: there the job's attempt fails with it, and the next one goes on after the last trial.
    """

    def __init__(self, run: Run, main: Main, wish: Wish, agreed: Together) -> None:
        self._run, self._main, self._wish, self._agreed = run, main, wish, agreed
        self._files = Files(run)
        self._saved = run.resume()
        done = from_plain(self._saved.state["search"]) if self._saved else []
        self._done = len(done)
        self._study: Study | None = _study(wish, run.seed, done) if run.first else None
        self._best: Trial | None = None

    @property
    def trials(self) -> Sequence[Trial]:
        """Those that have ended; of rank 0."""
        return self._study.trials if self._study else ()

    def run(self) -> dict[str, Any]:
        """Makes the trials that are missing; the best parameters. INVALID_FIELD when no trial was any good."""
        gc.collect()
        gc.freeze()  # between trials only what trials made is looked through
        try:
            while self._done < self._wish.trials:
                self._trial()
                self._done += 1
        finally:
            gc.unfreeze()
        found = self._agreed.decided(self._found())
        return self._wish.of_best(found)

    def _found(self) -> dict[str, Any]:
        """Of rank 0; the others are told."""
        if self._study is None:
            return {}
        self._best = best_of(self._study.trials, self._wish.direction)
        if self._best is None:
            raise _nothing(self._study.trials, self._wish.metric)
        return dict(self._best.parameters)

    def _trial(self) -> None:
        proposal = self._study.ask() if self._study else None
        found = self._agreed.decided(proposal.parameters if proposal else None)
        folder = self._run.folder / f"trial-{self._done}"
        folder.mkdir(parents=True)
        try:
            state, message = self._called(self._of_trial(found, folder, proposal))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            gc.collect()  # models of a trial hold each other, and the next one needs their memory
        if self._study and proposal:
            self._ended(self._study.tell(proposal, state, message))

    def _of_trial(self, found: dict[str, Any], folder: Path, proposal: Proposal | None) -> TrialRun:
        return TrialRun(
            self._run,
            self._wish.of_trial(found),
            folder,
            self._files,
            title=f"trial.{self._done + 1}",
            metric=self._wish.metric,
            judge=proposal.report if proposal else _never,
            agree=self._agreed.flag,
        )

    def _called(self, run: TrialRun) -> tuple[State, str]:
        try:
            self._main(run)
        except Pruned:
            return State.PRUNED, ""
        except MemoryError:
            raise
        except Exception as error:
            if self._run.world_size > 1:
                raise
            return State.FAILED, _words(error)
        return State.COMPLETE, ""

    def _ended(self, trial: Trial) -> None:
        """Of rank 0: told, kept, and looked at."""
        assert self._study is not None
        best = best_of(self._study.trials, self._wish.direction)
        count, total = len(self._study.trials), self._wish.trials
        figures = {"trial_value": trial.value, "trial_best": best.value if best else None}
        told = {name: value for name, value in figures.items() if value is not None}
        message = f"trial {count} of {total}: {trial.state}" + (f", best so far {best.value:g}" if best else "")
        self._run.report(count, total=total, message=message, **told)
        self._run.checkpoint(count, {"search": to_plain(self._study.trials)})
        if best is None and [each.state for each in self._study.trials] == [State.FAILED] * HOPELESS:
            raise _nothing(self._study.trials, self._wish.metric)

    def finish(self, parameters: dict[str, Any]) -> None:
        """The training with the best parameters, from its own checkpoint if there was one."""
        folder = self._run.folder / "best"
        folder.mkdir(parents=True)
        evidence, notes = self._table(folder) if self._study and self._best else ({}, {})
        own = self._run.folder / "final"
        own.mkdir()
        self._main(
            FinalRun(
                self._run,
                parameters,
                own,
                self._files,
                done=self._wish.trials,
                search=to_plain(self.trials),
                saved=_of_training(self._saved),
                evidence=evidence,
                notes=notes,
            )
        )

    def _table(self, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
        from services.trainer.search.study import document  # noqa: PLC0415 - rank 0 alone loads Optuna

        assert self._study is not None
        assert self._best is not None
        path = folder / EVIDENCE
        content = document(self._wish, self._study.trials, self._best, self._study.importance())
        path.write_text(json.dumps(_finite(content), indent=1, sort_keys=True), encoding="utf-8")
        note = {"trials": len(self._study.trials), self._wish.metric: self._best.value, **self._best.parameters}
        return {EVIDENCE: path}, {"Hyper-parameter search": note}


def _study(wish: Wish, seed: int, done: Sequence[Trial]) -> Study:
    from services.trainer.search.study import Study  # noqa: PLC0415 - rank 0 alone loads Optuna

    return Study(wish, seed, done)


def _never(_: float) -> bool:
    return False


def _of_training(saved: Saved | None) -> Saved | None:
    """The checkpoint of the training at the end, if it was one of that."""
    if saved is None or "training" not in saved.state:
        return None
    return Saved(saved.state["step"], saved.state["training"])


def _nothing(trials: Sequence[Trial], metric: str) -> Exception:
    """Why no trial was any good: an error of the code as it was, or a metric that was never told."""
    last = trials[-1]
    if not any(trial.reports for trial in trials) and last.message.startswith("the metric"):
        why = f"{metric} was not reported by any of {len(trials)} trials: name a metric that the code reports"
        return InvalidArgument([Violation(f'job.parameters["{KEY}"].metric', why)])
    return DomainError(
        Reason.INVALID_FIELD,
        f"none of {len(trials)} trials gave a {metric}; the last one: {last.message or last.state}",
        hint="Try these parameters in a job without search.",
        metadata={"parameters": json.dumps(dict(last.parameters))},
    )


def _words(error: Exception) -> str:
    if isinstance(error, InvalidArgument):
        return "; ".join(f"{each.field}: {each.description}" for each in error.violations)[:500]
    if isinstance(error, DomainError):
        return error.message[:500]
    return f"{type(error).__name__}: {error}"[:500]


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
