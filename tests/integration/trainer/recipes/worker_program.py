"""One worker of a recipe: parameters and folders as JSON, its place among the workers in the environment."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmase.training import LocalRun
from torch import distributed

from services.trainer.recipes.catalogue import by_name


class Interrupted(Exception):
    """As if the process had died after a checkpoint."""


class Mortal(LocalRun):
    """Dies after its first checkpoint, in all workers at the same step."""

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        super().checkpoint(step, state)
        raise Interrupted


def work(asked: Mapping[str, Any], rank: int, world_size: int) -> LocalRun:
    recipe = by_name(asked["recipe"])
    module, _, function = recipe.main.partition(":")
    kind = Mortal if asked.get("dies") else LocalRun
    folders = {name: Path(asked[name]) for name in ("out", "checkpoints") if name in asked}
    run = kind(
        {"data": Path(asked["data"])},
        recipe.check(asked["parameters"]).model_dump(),
        seed=7,
        every=asked.get("every", 0),
        rank=rank,
        world_size=world_size,
        quiet=True,
        **folders,
    )
    with run, contextlib.suppress(Interrupted):
        getattr(importlib.import_module(module), function)(run)
    return run


if __name__ == "__main__":
    workers = int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    work(json.loads(sys.argv[1]), int(os.environ["RANK"]), workers)
    distributed.destroy_process_group()
