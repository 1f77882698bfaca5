"""Trains a recipe and leaves what serving needs: the ONNX file, a sample with its right answer, PNGs, the figures.

    .venv/bin/python -m examples.digits.train

What has been made from the same inputs (recipe, code, data, versions of torch and numpy) is not made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from examples.digits import data
from examples.digits.data import Split
from examples.digits.recipes import BETTER, WEAK, Recipe

SEED = 20
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "digits"
SAMPLE_SIZE = 4
Report = Callable[[str, int, int], None]  # what, done, of how many


@dataclass(frozen=True)
class Trained:
    """One trained version on disk, and what is known of it."""

    folder: Path
    accuracy: float
    loss: float
    facts: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def sample(self) -> Path:
        return self.folder / "sample.npz"


def train(recipe: Recipe, split: Split, report: Report) -> Trained:
    """The trained version, from the cache when there is one."""
    facts = _facts(recipe, split)
    folder = CACHE / f"{recipe.name}-{_key(facts)}"
    if not folder.is_dir():
        _make(recipe, split, facts, folder, report)
    figures = json.loads((folder / "figures.json").read_text())
    return Trained(folder, figures["accuracy"], figures["loss"], facts)


def _facts(recipe: Recipe, split: Split) -> dict[str, Any]:
    """Everything that the outcome depends on."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem in CODE)
    libraries = {name: version(name) for name in ("torch", "numpy", "onnxscript", "mlxtend")}
    return {
        "recipe": asdict(recipe),
        "seed": SEED,
        "data": split.digest,
        "code": "sha256:" + hashlib.sha256(code).hexdigest(),
        "libraries": libraries,
        "machine": platform.machine(),
    }


CODE = ("data", "networks", "train")  # the recipe itself is among the facts


def _key(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _make(recipe: Recipe, split: Split, facts: dict[str, Any], folder: Path, report: Report) -> None:
    """The folder appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        figures = _fit_and_export(recipe, split, partial, report)
        (partial / "figures.json").write_text(json.dumps({**figures, **facts}, indent=2))
        partial.chmod(0o755)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fit_and_export(recipe: Recipe, split: Split, folder: Path, report: Report) -> dict[str, float]:
    import torch  # noqa: PLC0415  takes seconds, and a cached run does without

    from examples.digits.networks import Digits  # noqa: PLC0415

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    network = Digits(recipe.channels)
    _fit(network, recipe, split, report)
    network.eval()
    figures = _judge(network, split)
    report("exporting", 0, 1)
    _export(network, folder / "model.onnx")
    _write_sample(network, split.test_images[:SAMPLE_SIZE], folder / "sample.npz")
    report("exporting", 1, 1)
    return figures


def _fit(network: Any, recipe: Recipe, split: Split, report: Report) -> None:
    import torch  # noqa: PLC0415

    images, labels = torch.from_numpy(split.train_images), torch.from_numpy(split.train_labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs)
    generator = torch.Generator().manual_seed(SEED)
    for epoch in range(recipe.epochs):
        report("training", epoch, recipe.epochs)
        for rows in torch.randperm(len(images), generator=generator).split(recipe.batch):
            batch = _shifted(images[rows], recipe.shift, generator)
            optimiser.zero_grad()
            probabilities, _ = network(batch)
            torch.nn.functional.nll_loss(torch.log(probabilities + 1e-9), labels[rows]).backward()
            optimiser.step()
        slower.step()
    report("training", recipe.epochs, recipe.epochs)


def _shifted(batch: Any, most: int, generator: Any) -> Any:
    import torch  # noqa: PLC0415

    if not most:
        return batch
    moves = torch.randint(-most, most + 1, (len(batch), 2), generator=generator).tolist()
    return torch.stack([torch.roll(image, move, dims=(1, 2)) for image, move in zip(batch, moves, strict=True)])


def _judge(network: Any, split: Split) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood on the images that were held out."""
    import torch  # noqa: PLC0415

    with torch.no_grad():
        probabilities, digit = network(torch.from_numpy(split.test_images))
    right = digit[:, 0].numpy() == split.test_labels
    likelihood = probabilities.numpy()[np.arange(len(right)), split.test_labels]
    return {"accuracy": float(right.mean()), "loss": float(-np.log(likelihood + 1e-9).mean())}


def _export(network: Any, target: Path) -> None:
    """ONNX by torch's graph capture, with a batch dimension of any length."""
    import torch  # noqa: PLC0415

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 1, data.SIDE, data.SIDE),),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["probabilities", "digit"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
        )
    assert program is not None, "torch gives a program unless it is told to write a file itself"
    program.save(str(target), external_data=False)


def _write_sample(network: Any, images: np.ndarray, target: Path) -> None:
    """A request and its right answer, by which a node proves a freshly loaded version."""
    import torch  # noqa: PLC0415

    with torch.no_grad():
        probabilities, digit = network(torch.from_numpy(images))
    arrays = {"input:image": images, "output:probabilities": probabilities.numpy(), "output:digit": digit.numpy()}
    np.savez(target, **arrays)


def write_pngs(split: Split, folder: Path) -> dict[int, Path]:
    """One held-out image of each digit, white ink on black as the network sees them."""
    from PIL import Image  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for digit in range(10):
        image = split.test_images[np.flatnonzero(split.test_labels == digit)[0], 0]
        written[digit] = folder / f"{digit}.png"
        Image.fromarray(np.round(image * 255).astype(np.uint8)).save(written[digit])
    return written


def main() -> None:
    """Trains both and says how well they do."""
    split = data.load(SEED)
    for recipe in (WEAK, BETTER):
        made = train(recipe, split, lambda what, done, of: print(f"  {what} {done}/{of}", flush=True))
        print(
            f"{recipe.name}: accuracy {made.accuracy:.1%} on {len(split.test_labels)} held-out digits -> {made.folder}"
        )
    write_pngs(split, CACHE / "images")


if __name__ == "__main__":
    main()
