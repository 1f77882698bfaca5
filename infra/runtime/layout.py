"""Where things lie: the per-user cache all checkouts share, and this checkout's `.runtime/` with links into it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def cache_home(environ: Mapping[str, str] | None = None) -> Path:
    """`$BMASE_CACHE`, else `$XDG_CACHE_HOME/bmase`, else `~/.cache/bmase`."""
    env = os.environ if environ is None else environ
    if own := env.get("BMASE_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or Path.home()) / ".cache").absolute() / "bmase"


@dataclass(frozen=True)
class Layout:
    """Paths of one cache and one checkout.

    Invariant: a folder directly under `items` is complete, because it only ever arrives there by one rename.
    """

    cache: Path
    runtime: Path

    @classmethod
    def current(cls) -> Layout:
        """The cache of this user and the `.runtime/` of this checkout."""
        return cls(cache_home(), CHECKOUT / ".runtime")

    @property
    def items(self) -> Path:
        return self.cache / "items"

    @property
    def locks(self) -> Path:
        return self.cache / "locks"

    @property
    def partial(self) -> Path:
        return self.cache / "partial"

    @property
    def bin(self) -> Path:
        return self.runtime / "bin"

    @property
    def lib(self) -> Path:
        return self.runtime / "lib"

    def item(self, key: str) -> Path:
        """The unpacked item with this key; it exists only when complete."""
        return self.items / key

    def link(self, name: str) -> Path:
        """Where the checkout reaches an item by its name."""
        return self.runtime / name
