"""What the search for drift is told once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriftSettings:
    """Defaults are those of the service's settings."""

    alpha: float = 0.01  # chance of any false alarm of a version, however often one looks
    minimum_effect: float = 0.1  # smaller distances are no alarm, however sure they are
    quality_share: float = 0.01  # odd values up to this share of rows, above what the reference has, are no alarm
    window_rows: int = 5_000  # a window ends when it has as many rows
    window_seconds: float = 300.0  # and is as old
    max_features: int = 32_768  # of all versions together; the version idle for longest is forgotten first
    references_cached: int = 64
