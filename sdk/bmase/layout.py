"""Where the files of a version go on disk: Triton's layout, which can be served or pushed again as it is.

DEST/config.pbtxt     the serving configuration
DEST/N/...            the version's own files
DEST/samples/...      warm-up samples
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bmase.errors import TransferFailed
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import Fetch

SAMPLES = "samples"


def fetches(version: pb.Version, dest: Path) -> list[Fetch]:
    """What to download for a version; TransferFailed for paths that would leave the destination, or would meet."""
    found = [Fetch(f.digest, f.size_bytes, dest / _place(f, version.number)) for f in version.files]
    if len({fetch.target for fetch in found}) != len(found):
        raise TransferFailed(f"two files of {version.name} would be laid out in one place below {dest}")
    return found


def remove_other_samples(version: pb.Version, dest: Path) -> None:
    """Takes away the samples of a version that was laid out here before: pushed again, they would become this one's."""
    mine = {fetch.target for fetch in fetches(version, dest)}
    for file in sorted((dest / SAMPLES).rglob("*.pb")):
        if file not in mine:
            file.unlink()


def _place(file: pb.File, number: int) -> PurePosixPath:
    path = PurePosixPath(file.path)
    if not file.path or path.is_absolute() or ".." in path.parts:
        raise TransferFailed(f"the registry named a file {file.path!r}, which would leave the destination")
    if file.role == pb.File.ROLE_CONFIG:
        return PurePosixPath("config.pbtxt")
    if file.role == pb.File.ROLE_SAMPLE:
        return path if path.parts[:-1][:1] == (SAMPLES,) else PurePosixPath(SAMPLES) / path
    return PurePosixPath(str(number)) / path
