"""Moving files between this machine and the registry, resumable, verified, in constant memory.

Uploads: the digest is computed first, since an upload is found by its digest: what the registry has is not sent at
all, and after any interruption (also of this process) the upload goes on where the registry's copy ends.
Downloads: into `.NAME.part` beside the target, verified by digest, then renamed; an interrupted one goes on from its
part.
Both work on several files at once and wait for a registry that is away for a while.
"""

from __future__ import annotations

from bmase.transfer.download import Fetch
from bmase.transfer.engine import Transfer
from bmase.transfer.upload import Stored

__all__ = ["Fetch", "Stored", "Transfer"]
