"""What an explainer is told by its configuration and by a request, checked. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import local
from .players import Players, of

Array = np.ndarray
MOST_SAMPLES = 100_000
TOP = -1  # the output value that is highest for the row
SUFFIX, BACKGROUND = ".attribution", "background."


class RequestError(ValueError):
    """The request asks for what there is not; the text says what."""


@dataclass(frozen=True)
class Asked:
    """How to explain: set by the version's configuration, changed by the parameters of a request.

    output_index  the value of the output that is explained; TOP: the highest of each row
    samples       coalitions to ask; 0: by the number of players
    version       of the model; 0: as its route chooses
    patch         side of a picture's regions in pixels; 0: by its size
    """

    method: str = local.SHAPLEY
    output_index: int = TOP
    samples: int = 0
    seed: int = 0
    version: int = 0
    patch: int = 0

    def changed(self, given: Mapping[str, Any]) -> Asked:
        """With what was given; RequestError for what is not known or out of bounds."""
        bounds = {"output_index": (TOP, 2**31), "samples": (0, MOST_SAMPLES), "seed": (0, 2**63 - 1),
                  "version": (0, 2**31 - 1), "patch": (0, 2**16)}  # fmt: skip
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name == "method":
                if value not in local.METHODS:
                    raise RequestError(f"method {value!r} is none of {', '.join(local.METHODS)}")
                found[name] = value
            elif name in bounds:
                found[name] = _whole(name, value, *bounds[name])
        return replace(self, **found)


@dataclass(frozen=True)
class Setting:
    """What a version of an explainer is made of, from the parameters of its config.pbtxt.

    `names` are of the places of an input, `keep` the inputs that are never taken away.
    """

    model: str
    output: str
    gateway: str
    asked: Asked
    inputs: tuple[str, ...]
    keep: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Setting:
        """From Triton's model configuration as a dictionary."""
        told = {name: str(value["string_value"]) for name, value in config["parameters"].items()}
        inputs = [tensor["name"] for tensor in config["input"]]
        return cls(
            model=told["model"],
            output=told["output"],
            gateway=told["gateway"],
            asked=Asked().changed(told),
            inputs=tuple(name for name in inputs if not name.startswith(BACKGROUND)),
            keep=tuple(json.loads(told.get("keep") or "[]")),
            names={name: tuple(words) for name, words in json.loads(told.get("names") or "{}").items()},
        )


def arrays(setting: Setting, given: Mapping[str, Array], background: Mapping[str, Array]) -> tuple[Any, Any, int]:
    """(inputs, background, rows) of a request; RequestError where rows do not match."""
    inputs = {name: given[name] for name in setting.inputs}
    counts = {name: len(array) if array.ndim else 0 for name, array in inputs.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise RequestError(f"every input needs the same number of rows, one at least; there are: {told}")
    own = {name.removeprefix(BACKGROUND): array for name, array in given.items() if name.startswith(BACKGROUND)}
    others = {**background, **own}
    lengths = {name: len(others[name]) for name in inputs if name in others}
    if own and len(set(lengths.values())) != 1:
        raise RequestError(f"all inputs' backgrounds need the same number of rows; there are {lengths}")
    return inputs, others, next(iter(counts.values()))


def players(setting: Setting, asked: Asked, inputs: Mapping[str, Array]) -> Players:
    """The players of the rows of a request."""
    shapes = {name: array.shape[1:] for name, array in inputs.items()}
    return of(shapes, patch=asked.patch, keep=setting.keep, names=setting.names)


def chosen(whole: Array, output_index: int) -> int:
    """Which value of the output (values,) is explained."""
    if output_index == TOP:
        return int(np.argmax(whole))
    if output_index >= len(whole):
        raise RequestError(f"output_index is {output_index}, but the output has {len(whole)} values")
    return output_index


def _whole(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise RequestError(f"{name} has to be a whole number, not {value!r}") from None
    if not low <= number <= high:
        raise RequestError(f"{name} is {number}, it has to be from {low} to {high}")
    return number
