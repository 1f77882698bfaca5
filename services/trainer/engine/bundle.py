"""A job's own code on its way to workers: by digest through the blob store, as the trainer's folders are not there."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.engine import packing
from services.trainer.engine.attempt import Attempt
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.sources import manifests_key


def send(attempt: Attempt, blobs: Blobs, folder: Path) -> Attempt:
    """The attempt as workers are given it: its code is in the blob store, and no path of this machine is left."""
    if attempt.code is None:
        return attempt
    packed = folder / "code.tar"
    packing.pack_folder(attempt.code, packed)
    kept = blobs.put_by_digest(f"jobs/{attempt.job}/code-", packed)
    packed.unlink()
    return attempt.model_copy(update={"code": None, "bundle": kept})


def receive(attempt: Attempt, blobs: Blobs, folder: Path) -> None:
    """The code can be imported from now on, by programs that it starts as well.

    ARTEFACT_NOT_FOUND where the trainer's blob store is not seen: checkpoints of this worker would be nobody else's.
    """
    if not blobs.exists(manifests_key(attempt.job)):
        message = f"the machine {socket.gethostname()} does not see what the trainer keeps in its blob store"
        hint = "Set blob_url of the trainer to a store that all machines of the Ray cluster see under the same URL."
        raise DomainError(Reason.ARTEFACT_NOT_FOUND, message, hint=hint)
    if attempt.bundle is None:
        return
    packed, code = folder / "code.tar", folder / "code"
    blobs.get(attempt.bundle, packed)
    packing.unpack(packed, code)
    packed.unlink()
    sys.path.insert(0, str(code))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")])
