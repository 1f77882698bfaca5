"""Members whose truth is known, for tests of ensembles."""

from __future__ import annotations

import numpy as np

from services.trainer.ensembles.rows import Rows


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A class for each row of chances."""
    return np.asarray((rng.random(len(chances))[:, None] > np.cumsum(chances, axis=1)).sum(axis=1))


def views(n: int, seed: int, members: int = 3, classes: int = 3, noise: float = 1.0) -> Rows:
    """Classes drawn from true chances; each member sees the logits with a noise of its own, so averages are better."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 2
    seen = {f"m{each}": softmax(logits + noise * rng.normal(size=logits.shape)) for each in range(members)}
    return Rows(seen, drawn(softmax(logits), rng))


def hopeless(n: int, seed: int, noise_members: int = 20) -> Rows:
    """One member says the true chances, which no mixture beats; the others say anything."""
    rng = np.random.default_rng(seed)
    chances = softmax(rng.normal(size=(n, 3)))
    noise = {f"noise{each}": softmax(rng.normal(size=(n, 3))) for each in range(noise_members)}
    return Rows({"true": chances, **noise}, drawn(chances, rng))


def numbers(n: int, seed: int, spread: tuple[float, ...] = (1.0, 1.0, 2.0), scale: float = 1.0) -> Rows:
    """Members err independently with these standard deviations."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=n) * scale
    errors = {f"m{each}": labels + scale * size * rng.normal(size=n) for each, size in enumerate(spread)}
    return Rows(errors, labels)
