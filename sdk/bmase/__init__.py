"""BMASE's Python SDK: `bmase.Client` (blocking), `bmase.aio.Client` (asyncio), `bmase.errors`, and the command `bmase`.

The clients are imported at first use: `import bmase` alone is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bmase.errors import BmaseError

if TYPE_CHECKING:
    from bmase.core.registry import NewVersion
    from bmase.core.routes import Mirror, Override, RouteSpec, Sticky
    from bmase.progress import Progress
    from bmase.sync import Client

__version__ = "0.1.0"
__all__ = ["BmaseError", "Client", "Mirror", "NewVersion", "Override", "Progress", "RouteSpec", "Sticky", "__version__"]

_HOMES = {
    "Client": "bmase.sync",
    "NewVersion": "bmase.core.registry",
    "Progress": "bmase.progress",
    "Mirror": "bmase.core.routes",
    "Override": "bmase.core.routes",
    "RouteSpec": "bmase.core.routes",
    "Sticky": "bmase.core.routes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bmase' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(_HOMES[name]), name)
