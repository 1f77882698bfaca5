"""Where a pretrained model lies: a folder in Hugging Face layout, or a package that carries one. Never the network."""

from __future__ import annotations

import hashlib
from importlib.machinery import PathFinder
from pathlib import Path

from services.kit.errors import InvalidArgument, Violation

CONFIG = "config.json"
WEIGHTS = "*.safetensors"
DEPTH = 3  # below a package


def located(where: str, parameter: str, *, weights: bool = True) -> Path:
    """The folder of `where`, with config.json and weights as safetensors; InvalidArgument says what is missing.

    A package is found, not imported: its code is not run.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        return _checked(folder, parameter, weights)
    name = where.replace("-", "_")
    if not name.isidentifier():
        raise _refuse(parameter, f"{where!r} is neither a folder of the machine that trains nor a package's name")
    for root in _roots(name):
        configs = sorted(root.rglob(CONFIG), key=lambda path: (len(path.parts), path))
        for config in configs:
            if len(config.relative_to(root).parts) <= DEPTH and _holds(config.parent, weights):
                return config.parent
        raise _refuse(parameter, f"the package {name} has no folder with {CONFIG} and {WEIGHTS}{_instead(root)}")
    raise _refuse(parameter, f"{where!r} is neither a folder here nor a package that is installed")


def digest(folder: Path) -> str:
    """Of config and weights, to be told with the version: the folder may be another one tomorrow."""
    total = hashlib.sha256()
    for path in sorted([folder / CONFIG, *folder.glob(WEIGHTS)]):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{total.hexdigest()}"


def _roots(name: str) -> list[Path]:
    spec = PathFinder.find_spec(name)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _holds(folder: Path, weights: bool) -> bool:
    return (folder / CONFIG).is_file() and (not weights or any(folder.glob(WEIGHTS)))


def _checked(folder: Path, parameter: str, weights: bool) -> Path:
    if not (folder / CONFIG).is_file():
        words = f"{folder} has no {CONFIG}: give the folder that a Hugging Face model was saved to{_instead(folder)}"
        raise _refuse(parameter, words)
    if not _holds(folder, weights):
        words = f"{folder} has no weights as {WEIGHTS}; others hold code: save it again with safe_serialization"
        raise _refuse(parameter, words)
    return folder


def _instead(folder: Path) -> str:
    found = next(iter(sorted(folder.glob("*.gguf"))), None)
    return f"; it has {found.name}, whose quantised weights have to be saved as safetensors first" if found else ""


def _refuse(parameter: str, words: str) -> InvalidArgument:
    return InvalidArgument([Violation(f'job.parameters["{parameter}"]', words)])
