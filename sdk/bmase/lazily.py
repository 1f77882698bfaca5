"""Heavy libraries that are imported when something of them is first used, not when a program starts."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class lazily:  # noqa: N801 - stands for an import
    """`stats: Any = lazily("scipy.stats")` in place of `from scipy import stats`."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)
