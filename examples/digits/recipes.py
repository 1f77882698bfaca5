"""Two recipes for the same task: one that is meant to be beaten, and one that beats it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; everything that decides the outcome is here."""

    name: str
    channels: tuple[int, int]
    epochs: int
    batch: int
    rate: float
    shift: int  # pixels by which training images are moved at random
    description: str


WEAK = Recipe("weak", (2, 4), 2, 64, 5e-3, 0, "two narrow convolutions, two passes over the data")
BETTER = Recipe("better", (16, 32), 12, 64, 3e-3, 2, "two wider convolutions, twelve passes, shifted images")
