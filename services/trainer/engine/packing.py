"""A product, or the evidence about it, as one file: a tar that is the same for the same content."""

from __future__ import annotations

import importlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bmase.reasons import Reason
from bmase.training import Product

from services.kit.errors import DomainError
from services.trainer.engine.archives import extract
from services.trainer.recipes.recipe import PRODUCT

MODEL, EVIDENCE = "model", "evidence"


def pack(product: Product, out: Path) -> None:
    """INVALID_MODEL_FILE when there is no file in it."""
    files = sorted(path for path in product.folder.rglob("*") if path.is_file())
    if not files:
        raise DomainError(Reason.INVALID_MODEL_FILE, f"the training has left no file in {product.folder.name}")
    described = {**asdict(product), "folder": "", "evidence": sorted(product.evidence)}
    with tarfile.open(out, "w") as tar:
        _add(tar, PRODUCT, json.dumps(described, indent=1, sort_keys=True).encode())
        for path in files:
            _add(tar, f"{MODEL}/{path.relative_to(product.folder).as_posix()}", path)
        for name in sorted(product.evidence):
            _add(tar, f"{EVIDENCE}/{name}", Path(product.evidence[name]))


def pack_folder(folder: Path, out: Path) -> None:
    """All files of a folder."""
    with tarfile.open(out, "w") as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            _add(tar, path.relative_to(folder).as_posix(), path)


def unpack(file: Path, folder: Path) -> None:
    """Below the folder and nowhere else."""
    with tarfile.open(file) as tar:
        extract(tar, folder)


def unpacked(folder: Path) -> Product:
    """The product whose tar was unpacked there."""
    known: dict[str, Any] = json.loads((folder / PRODUCT).read_text())
    inputs: Mapping[str, Any] = known["inputs"]
    return Product(
        **{
            **known,
            "folder": folder / MODEL,
            "evidence": {name: folder / EVIDENCE / name for name in known["evidence"]},
            "inputs": {name: tuple(c) if isinstance(c, list) else c for name, c in inputs.items()},
            "classes": tuple(known["classes"]),
            "slices": tuple(known["slices"]),
        }
    )


def function(name: str) -> Callable[..., Any]:
    """The function that "module:function" means; ENTRY_POINT errors are the job's own."""
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not callable(found):
        raise AttributeError(f"module {module} has no function {attribute}")
    return found  # type: ignore[no-any-return]


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """A file of a model may be larger than the memory that a worker has left."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        info.size = source.seek(0, io.SEEK_END)
        source.seek(0)
        tar.addfile(info, source)
