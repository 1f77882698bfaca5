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


def fetches(version: pb.Version, dest: Path) -> list[Fetch]:
    """What to download for a version; TransferFailed for paths that would leave the destination."""
    return [Fetch(f.digest, f.size_bytes, dest / _place(f, version.number)) for f in version.files]


def _place(file: pb.File, number: int) -> PurePosixPath:
    path = PurePosixPath(file.path)
    if not file.path or path.is_absolute() or ".." in path.parts:
        raise TransferFailed(f"the registry named a file {file.path!r}, which would leave the destination")
    if file.role == pb.File.ROLE_CONFIG:
        return PurePosixPath("config.pbtxt")
    if file.role == pb.File.ROLE_SAMPLE:
        return PurePosixPath("samples") / path.name
    return PurePosixPath(str(number)) / path
