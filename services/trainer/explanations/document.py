"""What is kept of an explanation on the whole: `explanation.json` among a version's evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bmase.explaining.portable import players

from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.estimate import Bounds

if TYPE_CHECKING:
    from bmase.explaining.portable.players import Players


@dataclass(frozen=True)
class Input(Document):
    """An input of the model: the shape of one row, and whether it was left as it is. `names` are of its places."""

    name: str
    shape: tuple[int, ...]
    kept: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importance(Document):
    """One part of the input: a column, a region, a place.

    loss    by how much the mean loss rises when this part comes from other rows, and its interval
    share   the mean of the absolute Shapley values of this part, in units of the output; None: there was no time for it
    """

    name: str
    player: int  # its number among the parts
    loss: float
    loss_bounds: Bounds
    share: float | None = None
    share_bounds: Bounds | None = None


@dataclass(frozen=True)
class Explanation(Document):
    """The parts of the input, the most important one first.

    `whole` is false when the time was over before every part had been tried once: what was not tried is not listed.
    """

    loss: str  # what the loss is: cross-entropy, squared error, or change of the output
    base_loss: float
    output: str
    level: float
    rows: int
    repeats: int
    share_rows: int
    seed: int
    patch: int
    whole: bool
    inputs: tuple[Input, ...]
    importances: tuple[Importance, ...]

    def players(self) -> Players:
        """The parts, as they were cut."""
        shapes = {each.name: each.shape for each in self.inputs}
        names = {each.name: each.names for each in self.inputs}
        return players.of(shapes, patch=self.patch, keep=[e.name for e in self.inputs if e.kept], names=names)
