"""Artefacts by key, on files or on any S3, chosen by URL.

Keys are content-addressed by their callers: what is stored under a key never changes, so a put only ever creates.
"""

from __future__ import annotations

from services.kit.blob.files import FileStore
from services.kit.blob.model import CHUNK_BYTES, BlobInfo, BlobStore, Source
from services.kit.blob.s3 import S3Store
from services.kit.blob.url import open_store

__all__ = ["CHUNK_BYTES", "BlobInfo", "BlobStore", "FileStore", "S3Store", "Source", "open_store"]
