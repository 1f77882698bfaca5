"""Where the files of a version go on disk: Triton's layout, which can be served or pushed again as it is.

DEST/config.pbtxt     the serving configuration
DEST/N/...            the version's own files
DEST/samples/...      warm-up samples
DEST/evidence/...     what is kept beside the version: evaluation, card, plots, ...
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bmase.errors import NotFound, TransferFailed
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import Fetch

CONFIG = "config.pbtxt"
SAMPLES = "samples"
EVIDENCE = "evidence"


def fetches(version: pb.Version, dest: Path) -> list[Fetch]:
    """What to download for a version; TransferFailed for paths that would leave the destination, or would meet."""
    found = [Fetch(f.digest, f.size_bytes, dest / _place(f, version.number)) for f in version.files]
    if len({fetch.target for fetch in found}) != len(found):
        raise TransferFailed(f"two files of {version.name} would be laid out in one place below {dest}")
    return found


def remove_others(version: pb.Version, dest: Path) -> None:
    """Takes away samples and evidence of a version that was laid out here before: pushed again, they would become
    this one's. Call it before the download: a folder `evidence` that lies beside no configuration is somebody else's.
    """
    mine = {fetch.target for fetch in fetches(version, dest)}
    laid_out = (dest / CONFIG).is_file()
    for file in sorted([*(dest / SAMPLES).rglob("*.pb"), *((dest / EVIDENCE).rglob("*") if laid_out else ())]):
        if file not in mine and (file.is_file() or file.is_symlink()):
            file.unlink()


def evidence(version: pb.Version) -> list[pb.File]:
    """The files that are kept beside the version, by path."""
    return sorted((f for f in version.files if f.role == pb.File.ROLE_EVIDENCE), key=lambda f: f.path)


def evidence_fetches(version: pb.Version, dest: Path, name: str = "") -> list[Fetch]:
    """What to download of the evidence, laid out below `dest` without the leading `evidence/`.

    `name`: only this file, or what is in this folder; NotFound when there is none.
    """
    asked = name.strip("/").removeprefix(EVIDENCE + "/")
    found = [f for f in evidence(version) if not asked or f"{evidence_name(f)}/".startswith(f"{asked}/")]
    if asked and not found:
        there = ", ".join(map(evidence_name, evidence(version)))
        raise NotFound(
            f"{version.name} has no evidence {asked!r}",
            reason="ARTEFACT_NOT_FOUND",
            hint=f"It has: {there}" if there else "It has none at all.",
        )
    return [Fetch(f.digest, f.size_bytes, dest / _inside(f, evidence_name(f))) for f in found]


def evidence_name(file: pb.File) -> str:
    """The path of a file of evidence as people write it: `evaluation.json`, `plots/loss.png`."""
    return file.path.removeprefix(EVIDENCE + "/")


def _place(file: pb.File, number: int) -> PurePosixPath:
    path = _inside(file, file.path)
    if file.role == pb.File.ROLE_CONFIG:
        return PurePosixPath(CONFIG)
    if file.role == pb.File.ROLE_SAMPLE:
        return path if path.parts[:-1][:1] == (SAMPLES,) else PurePosixPath(SAMPLES) / path
    if file.role == pb.File.ROLE_EVIDENCE:
        return PurePosixPath(EVIDENCE) / _inside(file, evidence_name(file))
    return PurePosixPath(str(number)) / path


def _inside(file: pb.File, relative: str) -> PurePosixPath:
    path = PurePosixPath(relative)
    if not relative or path.is_absolute() or ".." in path.parts:
        raise TransferFailed(f"the registry named a file {file.path!r}, which would leave the destination")
    return path
