"""The digest of a version: equal for equal content, whoever pushes it and under whatever number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from services.registry.signature import Signature
from services.registry.tritonconfig import Serving

MODEL, CONFIG, SAMPLE, EVIDENCE = 1, 2, 3, 4  # numbers of the proto's File.Role


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version: where it is laid out and what it holds."""

    path: str
    digest: str
    role: int
    size: int = 0


def sha256(raw: bytes) -> str:
    """The digest of bytes as it is written everywhere."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def version_digest(files: Iterable[File], signature: Signature, serving: Serving) -> str:
    """Over paths, contents, signature and serving.

    Evidence counts: a training that is repeated may give the same model, and what was found out about it is new.

    The CONFIG file must be the one that is bound to no number yet, as the numbered one differs for equal versions.
    """
    document = {
        "files": sorted([file.path, file.digest, file.role] for file in files),
        "signature": asdict(signature),
        "serving": {**asdict(serving), "parameters": dict(sorted(serving.parameters.items()))},
    }
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
