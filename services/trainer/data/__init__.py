"""Data for training: what is there, in which state, in which parts, and kept so that it cannot be lost.

    manifest = discover("s3://bucket/clicks")               files with digests, columns; reads everything once
    for batch in part(manifest, Splits(), Part.TRAIN): ...  name -> array, streamed, verified
    for batch in shard(manifest, Splits(), "train", rank=1, world_size=4, shuffle=10_000, seed=3, epoch=0): ...
    kept = await snapshot(manifest, store)                  into the blob store, by digest
    read(await recorded(store, kept.digest), source=Stored(store))

Everything but the snapshot is blocking and belongs into a thread or a process of a job.
"""

from __future__ import annotations

from services.trainer.data.columns import Batch, Column
from services.trainer.data.discovery import discover, discover_files
from services.trainer.data.manifest import File, Manifest, differences
from services.trainer.data.reading import read, rebatched
from services.trainer.data.references import ReferenceTap
from services.trainer.data.sharding import shard
from services.trainer.data.snapshots import Kept, Stored, recorded, snapshot
from services.trainer.data.sources import Places, Source
from services.trainer.data.splits import PARTS, Part, Splits, part

__all__ = [
    "PARTS",
    "Batch",
    "Column",
    "File",
    "Kept",
    "Manifest",
    "Part",
    "Places",
    "ReferenceTap",
    "Source",
    "Splits",
    "Stored",
    "differences",
    "discover",
    "discover_files",
    "part",
    "read",
    "rebatched",
    "recorded",
    "shard",
    "snapshot",
]
