"""What can go wrong while binaries are brought here; every message names the next step."""

from __future__ import annotations


class RuntimeSetupError(Exception):
    """A binary cannot be had or used here; the message says which one, why, and what to do."""


class ManifestError(RuntimeSetupError):
    """`manifest.toml` contradicts itself."""
