"""Which files make up a version, from what the user points at.

model.onnx                 that file as model.onnx, and the files that its tensors are in
a Triton model directory   config.pbtxt, the one version directory, samples and evidence beside it (what `pull` makes)
any other directory        all files in it
several files              each under its own name
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bmase import onnxfile
from bmase.errors import InvalidArgument, Violation
from bmase.layout import CONFIG, EVIDENCE, SAMPLES
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import Stored

ONNX_NAME = "model.onnx"


@dataclass(frozen=True, slots=True)
class Source:
    """A local file and its place in the version."""

    local: Path
    path: str
    role: pb.File.Role = pb.File.ROLE_MODEL


def collect(paths: Sequence[Path], evidence: Sequence[Path] = ()) -> list[Source]:
    """The files of a version, sorted by place; InvalidArgument when there are none or two for one place.

    `evidence`: files, and folders of files, to keep beside the version.
    """
    for path in (*paths, *evidence):
        if not path.exists():
            raise _wrong(f"{path} does not exist")
    one_model = sum(path.suffix.lower() == ".onnx" for path in paths) == 1
    served = [s for path in paths for s in _of(path, one_model)]
    found = sorted([*served, *(s for path in evidence for s in _evidence(path))], key=lambda s: s.path)
    if not found:
        raise _wrong(f"there are no files in {', '.join(map(str, paths)) or 'nothing'}")
    for one, two in pairwise(found):
        if one.path == two.path and one.local.resolve() != two.local.resolve():
            raise _wrong(f"{one.local} and {two.local} would both become {one.path}")
    return list({source.path: source for source in found}.values())


def messages(sources: Sequence[Source], stored: Sequence[Stored]) -> list[pb.File]:
    """The files as the registry wants them."""
    return [pb.File(path=s.path, digest=d.digest, role=s.role) for s, d in zip(sources, stored, strict=True)]


def _of(path: Path, one_model: bool) -> Iterator[Source]:
    if path.is_dir():
        yield from _directory(path)
    elif path.suffix.lower() == ".onnx":
        yield Source(path, ONNX_NAME if one_model else path.name)
        for location in onnxfile.external_files(path):
            yield Source(path.parent / location, location)
    else:
        yield Source(path, path.name, _role(path.name))


def _directory(folder: Path) -> Iterator[Source]:
    versions = sorted(child for child in folder.iterdir() if child.is_dir() and child.name.isdigit())
    config = folder / CONFIG
    if not versions:
        yield from _tree(folder)
        return
    if len(versions) > 1:
        raise _wrong(
            f"{folder} has the versions {', '.join(v.name for v in versions)}",
            hint="One push makes one version: point at one of these directories, and at config.pbtxt beside it.",
        )
    if config.is_file():
        yield Source(config, CONFIG, pb.File.ROLE_CONFIG)
    for sample in _tree(folder / SAMPLES):
        if sample.local.suffix == ".pb":
            yield Source(sample.local, f"{SAMPLES}/{sample.path}", pb.File.ROLE_SAMPLE)
    if (folder / EVIDENCE).is_dir():
        yield from _evidence(folder / EVIDENCE)
    yield from _tree(versions[0])


def _evidence(path: Path) -> Iterator[Source]:
    files = _tree(path) if path.is_dir() else [Source(path, path.name)]
    for file in files:
        yield Source(file.local, f"{EVIDENCE}/{file.path}", pb.File.ROLE_EVIDENCE)


def _tree(folder: Path) -> Iterator[Source]:
    """All files below, without hidden ones and Python's caches."""
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
            yield Source(file, relative.as_posix(), _role(relative.as_posix()))


def _role(path: str) -> pb.File.Role:
    return pb.File.ROLE_CONFIG if path == CONFIG else pb.File.ROLE_MODEL


def _wrong(text: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(text, reason="INVALID_FIELD", hint=hint, violations=[Violation("files", text)])
