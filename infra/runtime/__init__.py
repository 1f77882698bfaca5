"""The pinned binaries the platform runs on: fetched once per user, verified, linked into `.runtime/`.

>>> from infra.runtime import binary, ensure, triton_home
>>> ensure(["envoy"])         # fetches when missing
>>> binary("envoy")           # path of the program; raises RuntimeSetupError when it was never fetched
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from infra.runtime.errors import RuntimeSetupError

__all__ = ["RuntimeSetupError", "binary", "ensure", "hdfs_jars", "libpython_dir", "triton_home", "triton_python"]


def ensure(names: Iterable[str] = ()) -> dict[str, Path]:
    """Brings `names` (default: triton, envoy, consul, nats) here when missing; programs by name."""
    from infra.runtime.bring import bring  # noqa: PLC0415 - what needs Python 3.11 loads when used

    return bring(names)


def binary(name: str) -> Path:
    """The program of an item ("envoy", "nats") or an executable by its own name ("nats-server", "weed")."""
    from infra.runtime import manifest  # noqa: PLC0415
    from infra.runtime.plan import choose  # noqa: PLC0415

    item = choose(manifest.load(), [name])[0]
    executable = name if name in item.executables else next(iter(item.executables), name)
    return _present(f"bin/{executable}", item.name)


def triton_home() -> Path:
    """The folder with Triton's `bin/`, `backends/` and `caches/`."""
    return _present("triton/pytriton/tritonserver", "triton")


def triton_python() -> Path:
    """The interpreter of the environment Triton's Python backend must run in."""
    return _present("triton-python/bin/python", "triton")


def hdfs_jars() -> Path:
    """The folder with the jars of HDFS's NameNode and DataNode."""
    return _present("lib/hadoop-hdfs.jar", "hdfs").resolve().parent


def libpython_dir() -> Path:
    """The folder with the shared library Triton's Python stub is linked against."""
    return _present("lib/libpython3.11.so.1.0", "triton").parent


def _present(path: str, item: str) -> Path:
    from infra.runtime.layout import Layout  # noqa: PLC0415

    found = Layout.current().runtime / path
    if not found.exists():
        raise RuntimeSetupError(f"{item} is not in .runtime/ yet. Run: python -m infra.runtime ensure {item}")
    return found
