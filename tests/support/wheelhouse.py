"""A small environment out of the one that runs the tests: the lock of a few packages, and wheels to build it from.

The wheels are packed again from what is installed, so nothing is downloaded; by their lists of files they are the same.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from services.trainer.engine import locks
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, canonical, installed, wheel_files

# What the training of the tests imports, and what the platform does to give it its rows.
ROOTS = (
    "fsspec", "googleapis-common-protos", "grpcio", "grpcio-status", "numpy", "obstore", "pillow", "protobuf",
    "pyarrow", "pydantic", "scikit-learn", "skl2onnx", "threadpoolctl",
)  # fmt: skip


def needed(roots: Iterable[str] = ROOTS) -> set[str]:
    """The packages and all that they require, by canonical names."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = canonical(waiting.pop())
        if name in found:
            continue
        found.add(name)
        wanted = map(Requirement, metadata.distribution(name).requires or ())
        waiting += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def small_lock(names: Iterable[str] | None = None) -> Lock:
    chosen = needed() if names is None else set(names)
    return Lock(**running(), packages=tuple(each for each in installed(check=False) if each.name in chosen))


def unbuildable() -> str:
    """A job's lock with all that a driver needs by name, and no archive of it anywhere."""
    versions = dict.fromkeys(locks.NEEDED, "1.0") | {"ray": metadata.version("ray")}
    return "".join(f"{name}=={version} --hash=sha256:{'0' * 64}\n" for name, version in versions.items())


def pack(names: Iterable[str], folder: Path) -> Path:
    """A wheel of each, as it is installed here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _pack(metadata.distribution(name), folder)
    return folder


def _pack(distribution: metadata.Distribution, folder: Path) -> None:
    files = wheel_files(distribution.files or ())
    name = distribution.metadata["Name"].replace("-", "_")
    notes = next(file.parts[0] for file in files if file.parts[0].endswith(".dist-info"))
    tag = _tag(distribution)
    with zipfile.ZipFile(folder / f"{name}-{distribution.version}-{tag}.whl", "w") as wheel:
        for file in files:
            wheel.write(Path(str(distribution.locate_file(file))), str(file))
        wheel.writestr(f"{notes}/RECORD", _record(files, notes))


def _tag(distribution: metadata.Distribution) -> str:
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(": ")[2] for line in lines if line.startswith("Tag: ")]
    return next((tag for tag in tags if not tag.startswith("py2-")), tags[0])


def _record(files: Sequence[metadata.PackagePath], notes: str) -> str:
    lines = [f"{_quoted(str(file))},{file.hash.mode}={file.hash.value},{file.size}" for file in files if file.hash]
    return "".join(f"{line}\n" for line in [*lines, f"{notes}/RECORD,,"])


def _quoted(path: str) -> str:
    return f'"{path}"' if "," in path else path


def with_another_content(wheel: Path, path: str) -> None:
    """The same name and version, and one file that its list does not tell the truth about."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files[path] += b"\nAND_MORE = 1\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
