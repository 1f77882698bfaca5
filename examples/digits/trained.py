"""The demo's last part: the platform itself trains a version, judges it, serves it, and shows what it looks at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bmase import Client
from bmase.errors import NotFound
from bmase.registry.v1 import registry_pb2
from rich.console import Console
from rich.table import Table

from examples.digits.data import Split

MODEL = "digits-trained"
RECIPE, EPOCHS, GATE = "image-classification", 4, "accuracy >= 0.9"
Say = Callable[[str], None]


class TrainedHere:
    """Everything below `folder`; commands are shown as a user would give them."""

    def __init__(self, client: Client, address: str, folder: Path, console: Console, say: Say) -> None:
        self._client, self._address, self._folder = client, address, folder
        self._console, self._say = console, say

    def tell(self, split: Split, png: Path) -> Path:
        """Train, evaluate, deploy, explain; the picture of the explanation. RuntimeError names what failed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        version = self._trained(split)
        self._show_evaluation(version)
        if version.number in {deployment.version for deployment in self._client.deployments.list(MODEL)}:
            self._client.deployments.wait(MODEL, version.number)
        else:
            self._bmase("deploy", MODEL, str(version.number))
        self._explainer(split, version)
        why = self._folder / "why.png"
        self._bmase("explain", MODEL, "--image", str(png), "--picture", str(why), "--limit", "3")
        return why

    def _trained(self, split: Split) -> registry_pb2.Version:
        try:
            version = self._client.versions.get(MODEL)
            self._say(f"version {version.number} of {MODEL} was trained earlier")
        except NotFound:
            rows = self._folder / "digits.npz"
            np.savez(rows, image=_pictures(split.train_images), label=split.train_labels.astype(np.int64))
            self._bmase(
                *("train", MODEL, "--recipe", RECIPE, "--data", str(rows)),
                *("--set", f"epochs={EPOCHS}", "--gate", GATE, "--seed", "1"),
            )
            version = self._client.versions.get(MODEL)
        return version

    def _show_evaluation(self, version: registry_pb2.Version) -> None:
        (file,) = self._client.pull_evidence(MODEL, version.number, self._folder, "evaluation.json")
        found = json.loads(file.read_text())
        table = Table(
            title=f"Version {version.number} on {found['rows']} rows that it has not seen", title_justify="left"
        )
        for heading in ("metric", "value", "95 % interval"):
            table.add_column(heading)
        for each in found["estimates"]:
            table.add_row(each["metric"], f"{each['value']:.4f}", f"{each['low']:.4f} to {each['high']:.4f}")
        self._console.print(table)

    def _explainer(self, split: Split, version: registry_pb2.Version) -> None:
        background = self._folder / "background.npz"
        np.savez(background, image=np.zeros_like(_pictures(split.train_images[:1]), dtype=np.float32))
        self._bmase("explain", "create", f"{MODEL}@{version.number}", "--background", str(background), "--deploy")

    def _bmase(self, *words: str) -> None:
        """On the console itself, so that progress is drawn where somebody looks."""
        self._say("$ bmase " + " ".join(f"'{word}'" if " " in word else word for word in words))
        program = str(Path(sys.executable).parent / "bmase")
        done = subprocess.run([program, "--address", self._address, *words], check=False)
        if done.returncode != 0:
            raise RuntimeError(f"`bmase {words[0]}` failed")


def _pictures(images: np.ndarray) -> np.ndarray:
    """(n, 28, 28), 0 to 1."""
    return images.reshape(len(images), 28, 28).astype(np.float32)
