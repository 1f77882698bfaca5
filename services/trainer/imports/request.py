"""What the process inside is asked, as a file of JSON. Paths are as it sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.trainer.imports.confine import Limits


@dataclass(frozen=True)
class Request:
    """`inputs`: name -> {"dtype", "shape", "low", "high"}, for formats that do not tell them. See `recipe` for the
    rest.
    """

    format: str
    model: str  # the file, or the folder
    scratch: str
    limits: Limits
    filtered: bool = True
    examples: str = ""  # an .npz
    module: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task: str = ""
    batches: tuple[int, ...] = (1, 7, 64)
    seed: int = 0
    # For `served`: the questions, input -> name of its array in `examples`.
    asked: tuple[Mapping[str, str], ...] = ()

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Request:
        told = json.loads(path.read_text("utf-8"))
        return cls(
            **{
                **told,
                "limits": Limits(**told["limits"]),
                "batches": tuple(told["batches"]),
                "asked": tuple(told["asked"]),
            }
        )
