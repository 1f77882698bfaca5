"""What can be wrong with data, said so that whoever owns the file finds the place."""

from __future__ import annotations

from bmase.reasons import Reason

from services.kit.errors import DomainError


def missing(uri: str) -> DomainError:
    return DomainError(
        Reason.DATA_NOT_FOUND,
        f"there is no {uri}",
        hint="Check the address; data that was kept with a version can be read from its snapshot instead.",
        metadata={"uri": uri},
    )


def changed(uri: str, recorded: str, found: str) -> DomainError:
    """Digests are the hexadecimal SHA-256 of the content."""
    return DomainError(
        Reason.DIGEST_MISMATCH,
        f"{uri} has changed since the manifest was made: it had sha256:{recorded}, it has sha256:{found}",
        hint="Make a new manifest, or read the old content from a snapshot.",
        metadata={"uri": uri, "recorded": f"sha256:{recorded}", "found": f"sha256:{found}"},
    )


def malformed(uri: str, why: str, hint: str = "", *, line: int = 0) -> DomainError:
    """`line` counts from 1, as editors do; 0 when the file has no lines."""
    place = f"{uri}, line {line}" if line else uri
    metadata = {"uri": uri, **({"line": str(line)} if line else {})}
    return DomainError(Reason.INVALID_DATA, f"{place}: {why}", hint=hint, metadata=metadata)


def unreachable(uri: str, why: str) -> DomainError:
    return DomainError(
        Reason.STORE_UNAVAILABLE,
        f"{uri} cannot be read: {why}",
        hint="Check that the store runs, and that the credentials in the trainer's environment may read there.",
        metadata={"uri": uri},
    )


def no_room(folder: str) -> DomainError:
    return DomainError(
        Reason.STORAGE_FULL,
        f"the disk under {folder} is full: files from afar are laid down there while they are read",
        hint="Free space there, or give another folder as cache.",
    )
