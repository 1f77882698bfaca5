"""Searches with toys for training code: what is found, kept, given up and told; interruptions change nothing."""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.training import Batch, Product, Run, Saved, Source

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.search import Wish, take
from services.trainer.search.searching import EVIDENCE, Search, train
from services.trainer.search.together import Alone
from services.trainer.search.trials import State


class ToyRun(Run):
    """Remembers what it is told; checkpoints go through JSON, so nothing but plain data is in them."""

    def __init__(self, folder: Path, saved: Saved | None = None, *, rank: int = 0, world_size: int = 1) -> None:
        self.parameters, self.seed, self.folder = {}, 7, folder
        self.rank, self.world_size = rank, world_size
        self.saved, self.checkpoints = saved, list[Saved]()
        self.reports: list[tuple[int, int, str, dict[str, float]]] = []
        self.product: Product | None = None
        self.brought = 0
        folder.mkdir(parents=True, exist_ok=True)

    def source(self, name: str = "data") -> Source:
        return Source((), 10)

    def rows(self, part: str = "train", columns: Sequence[str] | None = None, **how: Any) -> Iterator[Batch]:
        yield {"x": np.arange(3)}

    def table(self, part: str = "train", columns: Sequence[str] | None = None, *, source: str = "data") -> Batch:
        return {"x": np.arange(3)}

    def files(self, source: str = "data") -> tuple[Path, ...]:
        self.brought += 1
        return (self.folder / "file",)

    def due(self, step: int) -> bool:
        return step % 2 == 0

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        if self.first:
            self.checkpoints.append(Saved(step, json.loads(json.dumps(state))))

    def resume(self) -> Saved | None:
        return self.saved

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        self.reports.append((step, total, message, metrics))

    def finish(self, product: Product) -> None:
        self.product = product

    def series(self, name: str) -> list[float]:
        return [metrics[name] for *_, metrics in self.reports if name in metrics]


SPACE = {"rate": {"low": 1e-4, "high": 1.0, "log": True}, "shape": {"choices": [[1], [2, 2]]}}


def wish(**more: Any) -> Wish:
    own, found = take({"steps": 6, "search": {"space": SPACE, "trials": 12, "budget": {"steps": 4}, **more}})
    assert found is not None
    assert own == {"steps": 6}
    return found


def loss(parameters: Mapping[str, Any], step: int) -> float:
    """Best at a rate of 0.01 and the shape [2, 2]; better with every step."""
    return abs(math.log10(parameters["rate"]) + 2) + len(parameters["shape"]) * -0.5 + 1 / (step + 1)


def main(run: Run) -> None:
    saved = run.resume()
    for step in range(saved.step if saved else 0, run.parameters["steps"]):
        run.report(step + 1, total=run.parameters["steps"], val_loss=loss(run.parameters, step), other=1.0)
        if run.due(step + 1):
            run.checkpoint(step + 1, {"at": step + 1})
    product = run.folder / "product"
    product.mkdir()
    run.finish(Product(product, notes={"Training": {"from": saved.step if saved else 0}}))


def test_the_best_parameters_train_the_product(tmp_path: Path) -> None:
    run = ToyRun(tmp_path)
    train(run, main, wish(trials=20))
    assert run.product is not None
    table = json.loads(run.product.evidence[EVIDENCE].read_text())
    assert table["best"]["parameters"]["shape"] == [2, 2]
    assert 0.001 < table["best"]["parameters"]["rate"] < 0.1
    states = {each["state"] for each in table["trials"]}
    assert len(table["trials"]) == 20
    assert states == {"complete", "pruned"}
    complete = [each["value"] for each in table["trials"] if each["state"] == "complete"]
    assert table["best"]["value"] == min(complete)
    # Trials are called what their series are called.
    assert [each["number"] for each in table["trials"]] == list(range(1, 21))
    assert min(run.series(f"trial.{table['best']['trial']}.val_loss")) == table["best"]["value"]
    assert set(table["importance"]) == {"rate", "shape"}
    assert run.product.notes["Hyper-parameter search"]["rate"] == table["best"]["parameters"]["rate"]
    assert run.product.notes["Training"] == {"from": 0}
    # The last training has all steps, trials have what the budget gives them.
    assert run.series("val_loss")[-1] == loss(table["best"]["parameters"], 5)
    assert len(run.series("val_loss")) == 6


def test_only_the_last_training_makes_a_product_that_is_kept(tmp_path: Path) -> None:
    asked: list[bool] = []

    def noting(run: Run) -> None:
        asked.append(run.final)
        main(run)

    train(ToyRun(tmp_path), noting, wish(trials=3))
    assert asked == [False] * 3 + [True]


def test_what_is_told(whole: ToyRun) -> None:
    run = whole
    assert run.reports[0] == (1, 4, "trial.1", {"trial.1.val_loss": run.reports[0][3]["trial.1.val_loss"]})
    ends = [report for report in run.reports if report[2].startswith("trial ")]
    assert [(step, total) for step, total, *_ in ends] == [(k + 1, 12) for k in range(12)]
    bests = run.series("trial_best")
    assert bests == sorted(bests, reverse=True)
    steps = [saved.step for saved in run.checkpoints]
    assert steps == sorted(set(steps)), "checkpoints of one job never go back"


def test_trials_leave_nothing_behind_and_files_are_brought_once(tmp_path: Path) -> None:
    seen: list[Path] = []

    def looks(run: Run) -> None:
        assert list(run.folder.iterdir()) == []
        seen.append(run.files()[0])
        main(run)

    run = ToyRun(tmp_path)
    train(run, looks, wish())
    assert len(seen) == 13
    assert run.brought == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("trial")]


class PowerCutError(BaseException):
    """The process is gone."""


def cut(after: int) -> Callable[[Run], None]:
    """`main` that dies at its `after`-th report, wherever that is."""
    left = after

    def dying(run: Run) -> None:
        plain = run.report

        def report(step: int, **more: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise PowerCutError
            plain(step, **more)

        run.report = report  # type: ignore[method-assign]
        main(run)

    return dying


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """A run that nothing has interrupted."""
    run = ToyRun(tmp_path_factory.mktemp("whole"))
    train(run, main, wish())
    return run


@pytest.mark.parametrize("after", [1, 9, 30])
def test_an_interruption_changes_nothing(tmp_path: Path, whole: ToyRun, after: int) -> None:
    first = ToyRun(tmp_path / "first")
    with pytest.raises(PowerCutError):
        train(first, cut(after), wish())
    last = first.checkpoints[-1] if first.checkpoints else None
    second = ToyRun(tmp_path / "second", last)
    train(second, main, wish())
    assert whole.product is not None
    assert second.product is not None
    one, other = (each.product.evidence[EVIDENCE].read_text() for each in (whole, second) if each.product)
    assert one == other
    ended = last.step if last else 0
    assert len(second.series("trial_value")) <= 12 - min(ended, 12), "what had ended is not made again"


def test_the_training_at_the_end_goes_on_from_its_own_checkpoint(tmp_path: Path, whole: ToyRun) -> None:
    in_training = [saved for saved in whole.checkpoints if "training" in saved.state]
    assert [saved.step for saved in in_training] == [12 + 2, 12 + 4, 12 + 6]
    again = ToyRun(tmp_path / "b", in_training[1])
    train(again, main, wish())
    assert again.series("trial_value") == []
    assert again.product is not None
    assert again.product.notes["Training"] == {"from": 4}


def test_another_seed_searches_elsewhere_and_the_same_one_does_not(tmp_path: Path) -> None:
    def found(name: str, seed: int) -> Any:
        run = ToyRun(tmp_path / name)
        run.seed = seed
        return Search(run, main, wish(), Alone()).run()

    assert found("a", 1) == found("b", 1)
    assert found("c", 1)["rate"] != found("d", 2)["rate"]


def test_maximising_takes_the_largest(tmp_path: Path) -> None:
    def upside(run: Run) -> None:
        run.report(1, score=-loss(run.parameters, 0))

    best = Search(ToyRun(tmp_path), upside, wish(metric="score", direction="maximize", trials=20), Alone()).run()
    assert best["shape"] == [2, 2]
    assert best["steps"] == 6


def test_a_trial_that_raises_is_a_failed_one(tmp_path: Path) -> None:
    def fragile(run: Run) -> None:
        if run.parameters["rate"] > 0.3:
            raise RuntimeError("diverged")
        main(run)

    run = ToyRun(tmp_path)
    train(run, fragile, wish(trials=15))
    assert run.product is not None
    trials = json.loads(run.product.evidence[EVIDENCE].read_text())["trials"]
    failed = [each for each in trials if each["state"] == "failed"]
    assert failed
    assert {each["message"] for each in failed} == {"RuntimeError: diverged"}
    assert all(each["parameters"]["rate"] > 0.3 for each in failed)


def test_three_failures_at_the_beginning_end_the_search_with_the_cause(tmp_path: Path) -> None:
    calls = []

    def broken(run: Run) -> None:
        calls.append(1)
        raise KeyError("column x")

    with pytest.raises(DomainError, match=r"none of 3 trials gave a val_loss; .*column x"):
        train(ToyRun(tmp_path), broken, wish())
    assert len(calls) == 3


def test_a_metric_that_is_never_reported_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="accuracy was not reported") as caught:
        train(ToyRun(tmp_path), main, wish(metric="accuracy"))
    assert caught.value.violations[0].field == 'job.parameters["search"].metric'


def test_memory_that_runs_out_is_not_the_trials_fault_alone(tmp_path: Path) -> None:
    def greedy(run: Run) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        train(ToyRun(tmp_path), greedy, wish())


def test_not_a_number_loses_and_the_table_is_json(tmp_path: Path) -> None:
    def diverges(run: Run) -> None:
        run.report(1, val_loss=math.nan if run.parameters["rate"] > 0.1 else loss(run.parameters, 1))
        run.finish(Product(run.folder))

    run = ToyRun(tmp_path)
    train(run, diverges, wish())
    assert run.product is not None
    text = run.product.evidence[EVIDENCE].read_text()
    assert "NaN" not in text
    table = json.loads(text)
    assert table["best"]["parameters"]["rate"] <= 0.1
    assert any(each["value"] is None for each in table["trials"])


class Wire:
    """Two workers that agree: rank 0 sends, rank 1 receives, in the same order."""

    def __init__(self, rank: int, line: queue.Queue[str]) -> None:
        self._rank, self._line = rank, line

    def decided(self, value: Any) -> Any:
        if self._rank == 0:
            self._line.put(json.dumps(value))
            return value
        return json.loads(self._line.get(timeout=20))

    def flag(self, value: bool) -> bool:
        return bool(self.decided(value))


def test_several_workers_try_the_same_and_give_up_together(tmp_path: Path) -> None:
    line: queue.Queue[str] = queue.Queue()
    tried: dict[int, list[tuple[float, int]]] = {0: [], 1: []}
    best: dict[int, Any] = {}

    def work(rank: int) -> None:
        def lockstep(run: Run) -> None:
            for step in range(run.parameters["steps"]):
                tried[rank].append((run.parameters["rate"], step))
                run.report(step + 1, val_loss=loss(run.parameters, step) if run.first else -100.0)
                run.due(step + 1)

        run = ToyRun(tmp_path / str(rank), rank=rank, world_size=2)
        made = Search(run, lockstep, wish(trials=15), Wire(rank, line))
        best[rank] = made.run()
        if rank == 0:
            assert {trial.state for trial in made.trials} == {State.COMPLETE, State.PRUNED}

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert best[0] == best[1]
    assert tried[0] == tried[1]
    assert len(tried[0]) < 15 * 4, "some were given up"
    assert line.empty()


def test_of_several_workers_an_error_is_the_attempts(tmp_path: Path) -> None:
    def broken(run: Run) -> None:
        raise RuntimeError("one of them")

    with pytest.raises(RuntimeError, match="one of them"):
        Search(ToyRun(tmp_path, world_size=2), broken, wish(), Alone()).run()
