"""Image classification reaches what a plain script reaches, whatever its pictures look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from bmase.training import LocalRun, Product
from PIL import Image
from torch import nn
from torch.nn import functional

from services.kit.errors import InvalidArgument
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.images import train

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

SMALL = {"width": 8, "epochs": 3, "batch": 32, "learning_rate": 0.005}
EPOCHS = 4


def trained(data: Path, out: Path, **parameters: Any) -> tuple[LocalRun, Product]:
    asked = by_name("image-classification").check(parameters).model_dump()
    with LocalRun({"data": data}, asked, seed=1, out=out, quiet=True) as run:
        train.main(run)
    assert run.product is not None
    return run, run.product


def served(out: Path, pictures: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(out / "model.onnx")
    return np.asarray(session.run(["probabilities"], {session.get_inputs()[0].name: pictures.astype(np.float32)})[0])


def plain_script(pictures: np.ndarray, labels: np.ndarray) -> nn.Module:
    """Two convolutions and two linear layers, as tutorials have them."""
    torch.manual_seed(1)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    values, truth = torch.from_numpy(pictures / 255).float()[:, None], torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(truth)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(values[chosen]), truth[chosen]).backward()
            optimizer.step()
    return model


def test_digits_as_a_plain_script(mnist: Path, tmp_path: Path) -> None:
    run, product = trained(mnist, tmp_path, width=8, epochs=EPOCHS, learning_rate=5e-3)
    rows, test = run.table("train"), run.table("test")
    script = plain_script(rows["image"], rows["label"])
    with torch.no_grad():
        logits = script(torch.from_numpy(test["image"] / 255).float()[:, None])
    plain = float((logits.argmax(1).numpy() == test["label"]).mean())

    answers = served(tmp_path, test["image"])

    accuracy = float((answers.argmax(1) == test["label"]).mean())
    assert accuracy >= max(0.93, plain - 0.015), (accuracy, plain)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    assert served(tmp_path, test["image"][:1]).shape == (1, 10)
    assert (product.inputs, product.target, product.classes) == ({"image": "image"}, "label", ())
    epochs = [told for told in run.metrics if "val_loss" in told]
    assert [told["step"] for told in epochs] == [38 * epoch for epoch in range(1, EPOCHS + 1)]


def test_folders_of_coloured_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, colour in (("grass", (40, 160, 40)), ("sky", (60, 90, 200))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(np.array(colour) + random.normal(0, 30, (12, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")

    run, product = trained(
        tmp_path / "pictures", tmp_path / "out", **SMALL | {"batch": 8, "epochs": 6}, shift=2, flip=True
    )

    test = run.table("test")
    assert product.classes == ("grass", "sky")
    assert (served(tmp_path / "out", test["image"]).argmax(1) == test["label"]).all()


def test_flat_pictures_with_texts_as_classes(digits: Path, tmp_path: Path) -> None:
    found = np.load(digits)
    names = np.array(["odd" if label % 2 else "even" for label in found["label"]])
    np.savez(tmp_path / "flat.npz", pixels=found["image"].reshape(-1, 64) / 16, parity=names)
    asked = {"image": "pixels", "label": "parity", "shape": [8, 8]}

    run, product = trained(tmp_path / "flat.npz", tmp_path / "out", **SMALL, **asked)

    test = run.table("test")
    assert product.classes == ("even", "odd")
    assert product.inputs == {"pixels": "pixels"}
    chosen = np.array(product.classes)[served(tmp_path / "out", test["pixels"]).argmax(1)]
    assert (chosen == test["parity"]).mean() >= 0.95


def test_it_stops_when_it_gets_no_better(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", image=random.normal(size=(200, 8, 8)), label=random.integers(0, 2, 200))
    run, _ = trained(tmp_path / "noise.npz", tmp_path / "out", **(SMALL | {"epochs": 100}), patience=2)
    losses = [told["val_loss"] for told in run.metrics if "val_loss" in told]
    assert len(losses) < 50
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"image": "picture"}, "no column picture; there are: image, label"),
        ({"shape": [8, 9]}, "one row has 64 values, not the 72"),
        ({"image": "label"}, r"one row has the shape (), which is no picture"),
    ],
)
def test_what_does_not_fit_is_refused(digits: Path, tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        trained(digits, tmp_path, **asked)
    assert words in str(refused.value.violations)
