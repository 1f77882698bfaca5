"""A recipe that runs alone: in the driver's process, with the versions that it works on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bmase.registry.v1 import registry_pb2
from bmase.training.run import DATA
from google.protobuf import json_format

from services.trainer.data import Manifest, Splits
from services.trainer.engine.attempt import Attempt, Kept, Said
from services.trainer.engine.calling import call, guarded
from services.trainer.engine.run import JobRun
from services.trainer.engine.telling import Teller, told
from services.trainer.recipes.recipe import AloneRun, Material
from services.trainer.reproduce.determinism import apply
from services.trainer.reproduce.observe import observe_worker, plan_of

_TRAINER = -1


class _Run(JobRun, AloneRun):
    """With what the attempt alone knows."""

    def __init__(
        self, attempt: Attempt, manifests: Mapping[str, Manifest], folder: Path, tell: Callable[[Said], None]
    ) -> None:
        super().__init__(attempt, manifests, folder, tell)
        self.memory_bytes, self.snapshots = attempt.spec.resources.memory_bytes, attempt.blobs
        self._materials = tuple(
            Material(each.name, json_format.ParseDict(dict(each.version), registry_pb2.Version()), each.folder)
            for each in attempt.materials
        )

    @property
    def materials(self) -> Sequence[Material]:
        return self._materials

    def parted(self, source: str = DATA) -> tuple[Manifest, Splits] | None:
        manifest = self._manifests.get(source)
        return None if manifest is None else (manifest, self._splits)


def train(
    attempt: Attempt, manifests: Mapping[str, Manifest], folder: Path, listen: Callable[[Sequence[Said]], None]
) -> tuple[Kept, str]:
    """The product, and this process's side of the record; CodeFailedError."""
    determinism = apply(plan_of(attempt.spec))
    teller = Teller(listen)
    own = folder / "run"
    own.mkdir()
    run = _Run(attempt, manifests, own, teller.tell)
    try:
        with guarded(attempt, lambda said: listen([said]), lambda: os._exit(1)), told(teller.tell, _TRAINER):
            call(attempt, run)
    finally:
        teller.close()
    assert run.product is not None
    return run.product, observe_worker(determinism).model_dump_json()
