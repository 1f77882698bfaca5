"""The record of what made a version: everything that has to be the same for the same numbers to come out again."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field, JsonValue, field_validator

from services.trainer.data import Manifest, Splits
from services.trainer.jobs.spec import Resources
from services.trainer.reproduce.code import Code
from services.trainer.reproduce.determinism import MAX_SEED, Determinism
from services.trainer.reproduce.documents import Document, Sealed
from services.trainer.reproduce.machine import Machine
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.tolerance import Tolerance

PARTS = ("data", "code", "parameters", "seed", "environment", "determinism", "resources", "machine")


class Data(Document):
    """One source: its files, and how the rows were parted (None: all of them trained)."""

    manifest: Manifest
    splits: Splits | None = None


class Record(Sealed):
    """Immutable; kept with the version. `data` is by the names under which the code asked for it.

    `recipe` (empty for users' code) and `tolerance` say how to make it again and how to judge that. They are not in
    the digest, as they made no number; the registry's digest of the whole file covers them.
    """

    what = "record"

    recipe: str = ""
    tolerance: Tolerance = Tolerance()
    data: Mapping[str, Data] = {}
    code: Code
    environment: Lock
    machine: Machine
    seed: int = Field(ge=0, le=MAX_SEED)
    parameters: Mapping[str, JsonValue] = {}
    resources: Resources = Resources()
    determinism: Determinism

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        if not all(map(_is_finite, parameters.values())):
            raise ValueError("must hold no NaN and no infinite number")
        return parameters

    def content(self) -> dict[str, object]:
        """By the parts' own digests: data that only moved, or an archive found elsewhere, make no other record."""
        return {
            "data": {
                name: [each.manifest.digest, None if each.splits is None else each.splits.model_dump(mode="json")]
                for name, each in self.data.items()
            },
            "code": [self.code.digest, self.code.entry],
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "environment": self.environment.digest,
            "determinism": self.determinism.model_dump(mode="json"),
            "resources": self.resources.model_dump(mode="json"),
            "machine": self.machine.model_dump(mode="json"),
        }


def _is_finite(value: JsonValue) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))
