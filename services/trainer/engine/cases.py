"""From rows to what a model is asked, and from its outputs to what is judged: by columns, or by hooks of the code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from bmase.training import Batch, Cases, Product

from services.kit.errors import InvalidArgument, Violation
from services.trainer.engine.packing import function
from services.trainer.evaluation.answers import Answers, Classification, Language, Ranking, Regression, Task

Arrays = Mapping[str, np.ndarray]

_KINDS: dict[Task, type[Answers]] = {
    Task.CLASSIFICATION: Classification,
    Task.REGRESSION: Regression,
    Task.RANKING: Ranking,
    Task.LANGUAGE: Language,
}


def cases(product: Product, rows: Batch) -> Cases:
    """What the model is asked about these rows; InvalidArgument names a column that is not there."""
    if product.cases:
        made: Cases = function(product.cases)(rows, product.folder)
        return made
    inputs = {tensor: _input(rows, columns) for tensor, columns in product.inputs.items()}
    truth = {"labels": _labels(product, rows)} if product.task == Task.CLASSIFICATION else {}
    if product.task == Task.REGRESSION:
        truth = {"targets": _column(rows, product.target).astype(np.float64)}
    return Cases(inputs, truth, {name: _column(rows, name) for name in product.slices})


def answers(product: Product, asked: Cases, outputs: Arrays) -> Answers:
    """The truth beside the outputs, checked."""
    kind = _KINDS[Task(product.task)]
    if product.answers:
        return kind(**function(product.answers)(asked, outputs))
    output = outputs[product.output] if product.output else next(iter(outputs.values()))
    if product.task == Task.CLASSIFICATION:
        chances = _softmax(output) if product.logits else output
        return Classification(asked.truth["labels"], probabilities=_both(chances), classes=tuple(product.classes))
    if product.task == Task.REGRESSION:
        return Regression(asked.truth["targets"], output.reshape(len(output)))
    if product.task == Task.RANKING:
        return Ranking(asked.truth["relevance"], output)
    raise InvalidArgument(
        [Violation("product.answers", f"has to be named: a {product.task} is not judged by an output")]
    )


def _labels(product: Product, rows: Batch) -> np.ndarray:
    """Numbers that are no names of classes are the classes' places, as those of pictures in folders are."""
    column = _whole(_column(rows, product.target))
    places = {name: at for at, name in enumerate(product.classes)}
    found = np.array([places.get(_text(value), -1) for value in column], np.int64)
    if column.dtype.kind in "biu" and (found < 0).all():
        return column.astype(np.int64)
    if (found < 0).any():
        unknown = _text(column[int(np.argmax(found < 0))])
        raise InvalidArgument([Violation("data", f"has the class {unknown!r}, which the model does not know")])
    return found


def _whole(column: np.ndarray) -> np.ndarray:
    """Tables with gaps have whole numbers as fractions, 1.0 for 1; recipes take them."""
    if column.dtype.kind != "f" or not (np.isfinite(column) & (column == np.rint(column))).all():
        return column
    return column.astype(np.int64)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _input(rows: Batch, columns: str | tuple[str, ...]) -> np.ndarray:
    if isinstance(columns, str):
        return _column(rows, columns)
    parts = [_column(rows, name).astype(np.float32) for name in columns]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _column(rows: Batch, name: str) -> np.ndarray:
    if name not in rows:
        raise InvalidArgument(
            [Violation("product", f"names the column {name!r}; there are: {', '.join(sorted(rows))}")]
        )
    return rows[name]


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


def _both(chances: np.ndarray) -> np.ndarray:
    """A single column is the chance of the second of two classes."""
    one = chances.reshape(len(chances), -1)
    return np.concatenate([1 - one, one], axis=1) if one.shape[1] == 1 else one
