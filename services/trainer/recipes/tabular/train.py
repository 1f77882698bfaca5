"""The training of tabular: all rows in memory, one fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from bmase.training import Batch, Product, Run

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.labels import Labels, labels
from services.trainer.recipes.tabular import graph
from services.trainer.recipes.tabular.data import NUMBERS, OUTPUTS, Encoding, check_columns, encoding
from services.trainer.recipes.tabular.estimators import Chance, Rows, figures, fit, predicted
from services.trainer.recipes.tabular.recipe import Tabular


def main(run: Run) -> None:
    """Fits, converts, and proves on the validation rows that the conversion answers the same.

    There are no checkpoints: after a loss it is fitted anew, and gives the same bytes.
    """
    if not run.first:
        return
    asked = Tabular.model_validate(run.parameters)
    check_columns(run, asked)
    classes = labels(run, asked.target) if asked.task == "classification" else None
    columns = [*asked.features, asked.target] if asked.features else None
    train, validation = run.table("train", columns), run.table("validation", columns)
    encoded = encoding(run, asked, train)
    known = _rows(train, encoded, asked, classes)
    held_out = _rows(validation, encoded, asked, classes)
    if classes is not None:
        _check_classes(asked, known.truth, classes)

    def told(number: int, reported: Mapping[str, float]) -> None:
        run.report(number, total=asked.rounds if asked.estimator == "boosting" else 1, **reported)  # type: ignore[arg-type]

    estimator = fit(asked, Chance(run.seed, run.threads), known, held_out, told)
    answers = predicted(estimator, held_out.features, asked.task)
    folder = run.folder / "product"
    folder.mkdir()
    graph.write(estimator, asked, encoded, known.features.shape[1], folder / "model.onnx")
    apart = graph.difference(folder / "model.onnx", encoded, validation, answers, run.threads)
    graph.check(apart, asked)
    notes = {"onnx against the library, at most": apart, **figures(answers, held_out.truth, asked.task)}
    inputs: dict[str, str | tuple[str, ...]] = {name: name for name in encoded.categories}
    if encoded.numbers:
        inputs[NUMBERS] = tuple(column.name for column in encoded.numbers)
    product = Product(
        folder,
        task=asked.task,
        inputs=inputs,
        target=asked.target,
        output=OUTPUTS[asked.task],
        classes=classes.classes if classes else (),
        slices=asked.slices,
        description=f"{asked.estimator} of {asked.library}",
        notes={"Training": notes},
    )
    run.finish(product)


def _rows(rows: Batch, encoded: Encoding, asked: Tabular, classes: Labels | None) -> Rows:
    truth = rows[asked.target]
    if classes is not None:
        return Rows(encoded.matrix(rows), classes.indices(truth))
    if truth.dtype.kind not in "biuf" or truth.ndim != 1 or not np.isfinite(truth.astype(np.float64)).all():
        raise _refuse(f"column {asked.target} is no column of finite numbers, which a regression predicts")
    if not len(truth):
        raise _refuse("there are no rows to train on, or none for validation")
    return Rows(encoded.matrix(rows), truth.astype(np.float64))


def _check_classes(asked: Tabular, truth: np.ndarray, classes: Labels) -> None:
    if unseen := sorted(set(range(classes.count)) - set(truth.tolist())):
        name = classes.classes[unseen[0]] if classes.classes else str(unseen[0])
        raise _refuse(f"column {asked.target}: class {name} has no row to train on")


def _refuse(text: str) -> InvalidArgument:
    return InvalidArgument([Violation("job.data", text)])
