"""What both models are asked: batches of several sizes, and values at the edges of what numbers can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
ORDINARY = "batch"  # names of ordinary batches begin so
# Sizes of dimensions that vary and are not the batch, such as the length of a text.
LENGTH, SHORT, LONG = 12, 1, 40
LARGE, TINY, NEGATIVE = 1e4, 1e-20, -3.0
# Without examples integers are drawn from here: few models have fewer categories.
INTEGERS = (0, 8)
WORDS = ("", "a", "b", "Ünïcode 試験")


@dataclass(frozen=True)
class Port:
    """An input: numpy's name of its type, and its shape; a number is fixed, a word is a size that varies.

    `low` to `high` (exclusive) bounds what is drawn.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    low: float | None = None
    high: float | None = None

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float") and self.low is None

    @property
    def batch(self) -> int | str:
        """The first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1


@dataclass(frozen=True)
class Probe:
    """One question, with a name that people read."""

    name: str
    inputs: Arrays


def make(
    ports: Sequence[Port], batches: Sequence[int], seed: int, examples: Mapping[str, np.ndarray] | None = None
) -> list[Probe]:
    """All questions. `examples` (name -> [rows, ...]) are drawn from, and scaled for the extremes, instead of random
    numbers.
    """
    maker = _Maker(ports, np.random.default_rng(seed), dict(examples or {}))
    fixed = next((port.batch for port in ports if isinstance(port.batch, int)), None)
    sizes = list(dict.fromkeys(batches)) if fixed is None else [fixed]
    found = [Probe(f"{ORDINARY} of {size}", maker.ordinary(size)) for size in sizes]
    middle = sizes[len(sizes) // 2]
    found += [Probe(name, maker.extreme(name, middle)) for name in _edges(ports)]
    if any(isinstance(size, str) for port in ports for size in port.shape[1:]) and not examples:
        found += [Probe(f"{word} rows", maker.ordinary(middle, n)) for word, n in (("short", SHORT), ("long", LONG))]
    return found if fixed is not None else [*found, Probe("no rows", maker.ordinary(0))]


def _edges(ports: Sequence[Port]) -> tuple[str, ...]:
    if any(port.is_float for port in ports):
        return ("zeros", "negative", "tiny", "large", "not a number")
    return ("lowest", "highest") if any(port.dtype.startswith(("int", "uint")) for port in ports) else ()


@dataclass
class _Maker:
    ports: Sequence[Port]
    random: np.random.Generator
    examples: Mapping[str, np.ndarray]

    def ordinary(self, size: int, length: int = LENGTH) -> Arrays:
        if self.examples:
            rows = self.random.integers(0, len(next(iter(self.examples.values()))), size)
            return {port.name: np.asarray(self.examples[port.name])[rows].astype(port.dtype) for port in self.ports}
        return {port.name: self._drawn(port, self._shape(port, size, length)) for port in self.ports}

    def extreme(self, name: str, size: int) -> Arrays:
        """An ordinary batch, its floats replaced; the integers when there are no floats."""
        arrays = self.ordinary(size)
        for port in self.ports:
            if name in {"lowest", "highest"} and port.dtype.startswith(("int", "uint")):
                low, high = _range(port)
                arrays[port.name] = np.full_like(arrays[port.name], low if name == "lowest" else high - 1)
            elif port.is_float:
                arrays[port.name] = _changed(name, arrays[port.name], self.random)
        return arrays

    def _shape(self, port: Port, size: int, length: int) -> list[int]:
        varying = [length if isinstance(each, str) else each for each in port.shape[1:]]
        return [size, *varying] if port.shape else []

    def _drawn(self, port: Port, shape: list[int]) -> np.ndarray:
        if port.dtype in {"str", "object"}:
            return self.random.choice(np.array(WORDS), shape).astype(object)
        if port.dtype == "bool":
            return self.random.random(shape) < 0.5
        if port.is_float:
            return self.random.standard_normal(shape).astype(port.dtype)
        low, high = _range(port)
        if port.dtype.startswith("float"):
            return self.random.uniform(low, high, shape).astype(port.dtype)
        return self.random.integers(int(low), int(high), shape).astype(port.dtype)


def _range(port: Port) -> tuple[float, float]:
    low = INTEGERS[0] if port.low is None else port.low
    return low, INTEGERS[1] if port.high is None else port.high


def _changed(name: str, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    kind: Any = values.dtype.type
    if name == "zeros":
        return np.zeros_like(values)
    if name == "negative":
        return np.abs(values) * kind(NEGATIVE)
    if name == "tiny":
        return values * kind(TINY)
    if name == "large":
        return np.clip(values.astype(np.float64) * LARGE, np.finfo(kind).min, np.finfo(kind).max).astype(kind)
    holes = values.copy()
    holes[random.random(values.shape) < 0.2] = np.nan
    return holes
