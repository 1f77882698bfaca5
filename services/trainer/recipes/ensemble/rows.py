"""From rows of a table to what members are fed, and to the truth."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from bmase.layout import EVIDENCE
from bmase.training import Batch
from onnx import TensorProto, helper
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from services.kit.errors import InvalidArgument, Violation
from services.trainer.ensembles.adapt import Columns
from services.trainer.ensembles.graphs import Port
from services.trainer.recipes.recipe import PRODUCT

MOST_NAMED = 8

_ONE_OR_MORE = BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)


class Described(BaseModel):
    """What a version's training has said of it: tensor -> the columns that feed it, and the classes in the order of
    its outputs. Empty where it has not.
    """

    inputs: dict[str, Annotated[Columns, _ONE_OR_MORE, Field(min_length=1)]] = {}
    classes: tuple[str, ...] = ()


def described(folder: Path) -> Described:
    """Anybody may push a file of that name, so one that is something else says nothing."""
    try:
        return Described.model_validate_json((folder / EVIDENCE / PRODUCT).read_bytes())
    except (OSError, ValidationError):
        return Described()


def classes_of(described: Mapping[str, Described], asked: Sequence[str]) -> tuple[str, ...]:
    """Those asked for, else those that members describe. InvalidArgument for a member that describes others: its
    outputs are in another order, and would be weighed by the wrong truth.
    """
    known = {name: each.classes for name, each in described.items() if each.classes}
    found = tuple(asked) or next(iter(known.values()), ())
    for name, own in known.items():
        if own != found:
            why = f"member {name!r} tells {_some(own)} apart, in this order, and not {_some(found)}"
            raise InvalidArgument([Violation('job.parameters["classes"]', why)])
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def columns_of(
    takes: Mapping[str, Collection[str]],
    described: Mapping[str, Described],
    asked: Mapping[str, str | Sequence[str]],
    known: Sequence[str],
) -> dict[str, dict[str, Columns]]:
    """Member -> tensor -> its columns: those asked for, else those that the version describes, else the one of its
    name. `takes` has the tensors of each member. InvalidArgument names what is missing.
    """
    tensors = {name for own in takes.values() for name in own}
    wrong = [Violation(_field("inputs", name), f"no member takes {name!r}") for name in asked if name not in tensors]
    wrong += [Violation(_field("inputs", name), "it names no column") for name, given in asked.items() if not given]
    found: dict[str, dict[str, Columns]] = {}
    for member, own in takes.items():
        found[member] = {name: _columns(asked.get(name) or described[member].inputs.get(name) or name) for name in own}
        wrong += [each for name, given in found[member].items() for each in _lacking(name, given, known)]
    if wrong:
        raise InvalidArgument(list(dict.fromkeys(wrong)))
    return found


def _columns(given: str | Sequence[str]) -> Columns:
    return (given,) if isinstance(given, str) else tuple(given)


def _lacking(tensor: str, columns: Columns, known: Sequence[str]) -> list[Violation]:
    lacking = [column for column in columns if column not in known]
    what = f"the data have no column {lacking[0]!r} for it; there are: {', '.join(known)}" if lacking else ""
    return [Violation(_field("inputs", tensor), what)] if what else []


def fed(port: Port, columns: Columns, batch: Batch) -> np.ndarray:
    """(n, ...): one input of a model; several columns are put side by side as float32."""
    array = np.asarray(batch[columns[0]]) if len(columns) == 1 else _side_by_side(columns, batch)
    wanted = (port.dims or ())[1:]
    sizes = [size for size in wanted if isinstance(size, int)]
    if len(sizes) == len(wanted):
        if math.prod(sizes) != math.prod(array.shape[1:]):
            raise _misfit(port, columns, array)
        array = array.reshape(len(array), *sizes)
    elif array.ndim == 1 and len(wanted) == 1:
        array = array[:, None]
    elif array.ndim - 1 != len(wanted):
        raise _misfit(port, columns, array)
    return _typed(array, port, columns)


def _side_by_side(columns: Columns, batch: Batch) -> np.ndarray:
    parts = [np.asarray(batch[column]) for column in columns]
    for column, part in zip(columns, parts, strict=True):
        if part.dtype.kind not in "biuf":
            raise InvalidArgument([Violation('job.parameters["inputs"]', f"column {column!r} does not hold numbers")])
    return np.concatenate([part.reshape(len(part), -1).astype(np.float32) for part in parts], axis=1)


def _typed(array: np.ndarray, port: Port, columns: Columns) -> np.ndarray:
    if port.element == TensorProto.STRING:
        return array.astype(object)
    if array.dtype.kind not in "biuf":
        raise _misfit(port, columns, array)
    return np.ascontiguousarray(array.astype(helper.tensor_dtype_to_np_dtype(port.element)))


def _misfit(port: Port, columns: Columns, array: np.ndarray) -> InvalidArgument:
    named = ", ".join(repr(column) for column in columns)
    what = f"it is {port}, and the rows of {named} are {array.dtype} of shape {list(array.shape[1:])}"
    return InvalidArgument([Violation(_field("inputs", port.name), what)])


def truth(values: np.ndarray, classes: Sequence[str], named: Sequence[str] = ()) -> np.ndarray:
    """Class numbers: the places of values in `classes`. Without those numbers are what they are, as in trainings, and
    texts are the places in `named`. InvalidArgument for others.
    """
    if not classes and values.dtype.kind in "biuf":
        return _whole(values)
    if not classes and not named:
        why = "the target is text: name its values in the order of the members' outputs"
        raise InvalidArgument([Violation('job.parameters["classes"]', why)])
    number = {name: place for place, name in enumerate(classes or named)}
    said = [_said(value) for value in values.ravel().tolist()]
    if strange := sorted(set(said) - number.keys()):
        raise InvalidArgument([Violation('job.parameters["classes"]', f"{strange[0]!r} of the target is none of them")])
    return np.array([number[each] for each in said], np.int64)


def _whole(values: np.ndarray) -> np.ndarray:
    """Fractions that are whole numbers are class numbers as well: tables keep them so."""
    whole = values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.floor(values)).all()
    return values.astype(np.int64) if whole or values.dtype.kind == "b" else values


def _said(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _field(parameter: str, key: str) -> str:
    return f'job.parameters["{parameter}.{key}"]'
