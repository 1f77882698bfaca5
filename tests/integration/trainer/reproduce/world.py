"""A world with one version that was trained in a small environment of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from services.kit.decode import ModelRef
from services.trainer.data import discover
from services.trainer.jobs.spec import Bundle, Resources, Spec
from services.trainer.reproduce import again
from services.trainer.reproduce.again import How
from services.trainer.reproduce.determinism import Determinism
from services.trainer.reproduce.environment import Installer, build
from services.trainer.reproduce.machine import Machine
from services.trainer.reproduce.made import Made
from services.trainer.reproduce.observe import Worker, observe, plan_of
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.requirements import Where
from tests.support.wheelhouse import pack, small_lock

BUNDLE = Path(__file__).with_name("bundle")


class World:
    """Data, code, wheels, and one version that was trained here."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.bundle = folder, folder / "digits.npz", folder / "bundle"
        shutil.copytree(BUNDLE, self.bundle, ignore=shutil.ignore_patterns("__pycache__"))
        numbers = np.random.default_rng(1)
        labels = np.arange(400) % 10
        np.savez(self.data, image=numbers.normal(labels[:, None], 1, (400, 16)).astype(np.float32), label=labels)
        self.lock = small_lock()
        self.wheels = pack([package.name for package in self.lock.packages], folder / "wheels")
        self.version = self.trained()

    def record(self, lock: Lock) -> Record:
        job = Spec(
            model=ModelRef("digits"),
            bundle=Bundle(digest="sha256:" + "0" * 64, entry_point="digits:main"),
            parameters={"steps": 8, "width": 12},
            seed=5,
            resources=Resources(time_limit=600),
        )
        worker = Worker(determinism=Determinism(plan=plan_of(job)), machine=Machine(system="Linux", cores=1))
        manifests = {"data": discover(self.data.as_uri())}
        return observe(job, manifests, worker=worker, bundle=self.bundle, environment=lock)

    def trained(self) -> Made:
        """In the small environment, by the same program."""
        python = build(self.lock, self.folder / "recorded", self.how().installer)
        return again.train(python, self.record(self.lock), self.folder / "first", self.how())

    def how(self, wheels: Path | None = None) -> How:
        installer = Installer(where=Where(links=(wheels or self.wheels,), index=False), seconds=300)
        return How(self.folder / "environments", installer, self.bundle)
