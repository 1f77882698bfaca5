"""Formats of files, each behind the same two functions (`model.Format`)."""

from __future__ import annotations

from services.trainer.data.formats import csvfile, images, npz, parquet
from services.trainer.data.formats.model import Format, Found
from services.trainer.data.manifest import FormatName

FORMATS: dict[FormatName, Format] = {"parquet": parquet, "csv": csvfile, "npz": npz, "images": images}

_SUFFIXES: dict[str, FormatName] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".npz": "npz",
    **dict.fromkeys(sorted(images.SUFFIXES), "images"),  # type: ignore[dict-item]
}


def format_of(uri: str) -> FormatName | None:
    """By the end of the name; None for what is no data."""
    name = uri.partition("?")[0].lower()
    return next((found for suffix, found in _SUFFIXES.items() if name.endswith(suffix)), None)


__all__ = ["FORMATS", "Format", "Found", "format_of"]
