"""The recorded data, where they lie now: in their snapshot if one was kept, or else in their old places, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bmase.reasons import Reason

from services.kit.blob import BlobStore, open_store
from services.kit.errors import DomainError
from services.trainer.data import File, Manifest, Places, Source, Stored
from services.trainer.data.snapshots import manifest_key
from services.trainer.reproduce.record import Record

_NAMED = 5


def sources(record: Record, snapshots: str = "") -> dict[str, Source]:
    """For each source of the record whence its files are read. `snapshots`: address of the blob store with them."""
    store = open_store(snapshots) if snapshots else None
    return {name: _source(data.manifest, store) for name, data in record.data.items()}


def _source(manifest: Manifest, store: BlobStore | None) -> Source:
    if store is not None and asyncio.run(store.head(manifest_key(manifest.digest))) is not None:
        return Stored(store)
    return Places()


def check_data(record: Record, files: Mapping[str, Source]) -> None:
    """Reads every file; DIGEST_MISMATCH names those that are not the recorded ones any more, or gone. Nothing can be
    trained again without them, so this comes first.
    """
    wrong = [
        f"data {name}: {error.message}"
        for name, data in record.data.items()
        for file in data.manifest.files
        if (error := _wrong(files[name], file)) is not None
    ]
    if wrong:
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise DomainError(
            Reason.DIGEST_MISMATCH,
            f"the version cannot be made again from other data: {'; '.join(wrong[:_NAMED])}{more}",
            hint="Bring the recorded files back; data that are trained with --snapshot cannot be lost.",
        )


def _wrong(files: Source, file: File) -> DomainError | None:
    try:
        with files.open(file):
            return None
    except DomainError as error:
        if error.reason in {Reason.DIGEST_MISMATCH, Reason.DATA_NOT_FOUND, Reason.ARTEFACT_NOT_FOUND}:
            return error
        raise
