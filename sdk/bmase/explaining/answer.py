"""What an explainer answered, read: whom its shares belong to, and which are the largest. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bmase.core.tensors import Array
from bmase.explaining.portable import players
from bmase.explaining.portable.requests import SUFFIX

NAME_SUFFIX = ".explain"
SHOWN = 6  # characters of a value that are shown


@dataclass(frozen=True, slots=True)
class Share:
    """One player: its name, the value that the row has there ("" for several), and what it adds to the output."""

    name: str
    value: str
    share: float


@dataclass(frozen=True, eq=False)
class Explained:
    """One row that was explained. `row` and `attributions` are by input, without the rows' dimension."""

    model: str
    version: int
    output: str
    output_index: int
    base: float
    explained: float
    row: Mapping[str, Array]
    attributions: Mapping[str, Array]
    players: players.Players

    @property
    def gap(self) -> float:
        """How far base and shares miss the explained output; for occlusion it means nothing."""
        return abs(self.base + sum(float(a.sum(dtype=np.float64)) for a in self.attributions.values()) - self.explained)

    @cached_property
    def shares(self) -> list[Share]:
        """Of all players, the largest amount first."""
        sums, sizes = np.zeros(self.players.count), self.players.sizes()
        for name, labels in self.players.labels.items():
            own = labels >= 0
            np.add.at(sums, labels[own], self.attributions[name][own])
        order = np.argsort(-np.abs(sums), kind="stable")
        return [
            Share(self.players.names[i], self._value(int(i)) if sizes[i] == 1 else "", float(sums[i])) for i in order
        ]

    def _value(self, player: int) -> str:
        for name, labels in self.players.labels.items():
            if (labels == player).any():
                value = self.row[name][labels == player][0]
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else f"{value:.{SHOWN}g}"
        return ""

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "model": self.model,
            "version": self.version,
            "output": self.output,
            "output_index": self.output_index,
            "base": self.base,
            "explained": self.explained,
            "shares": [{"name": each.name, "value": each.value, "share": each.share} for each in self.shares],
        }


def read(
    model: str, outputs: Mapping[str, Array], inputs: Mapping[str, Array], told: Mapping[str, str], patch: int = 0
) -> list[Explained]:
    """One each row. `told` are the parameters of the explainer's configuration; without them places have no names."""
    attributions = {name: outputs[name + SUFFIX] for name in inputs}
    shapes = {name: array.shape[1:] for name, array in attributions.items()}
    names = {name: tuple(words) for name, words in json.loads(told.get("names") or "{}").items()}
    keep = json.loads(told.get("keep") or "[]")
    side = patch or int(told.get("patch") or 0)
    known = players.of(shapes, patch=side, keep=keep, names=names)
    return [
        Explained(
            model=model,
            version=int(outputs["version"][index, 0]),
            output=told.get("output", ""),
            output_index=int(outputs["output_index"][index, 0]),
            base=float(outputs["base"][index, 0]),
            explained=float(outputs["explained"][index, 0]),
            row={name: np.asarray(array)[index] for name, array in inputs.items()},
            attributions={name: array[index] for name, array in attributions.items()},
            players=known,
        )
        for index in range(len(outputs["base"]))
    ]
