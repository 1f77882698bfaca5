"""The data of a job as it was when its first attempt looked: what another attempt reads must be the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.kit.blob import open_store
from services.kit.errors import InvalidArgument, Violation
from services.trainer.data import Manifest, discover, discover_files, snapshot
from services.trainer.engine.attempt import Attempt
from services.trainer.engine.blobs import Blobs
from services.trainer.jobs.spec import DataSource
from services.trainer.recipes.catalogue import RECIPES


def manifests_key(job: str) -> str:
    """Where in the blob store they are; the first thing that is kept of a job."""
    return f"jobs/{job}/manifests.json"


def known(attempt: Attempt, blobs: Blobs, folder: Path) -> dict[str, Manifest]:
    """By the names under which the code asks; discovered once for all attempts."""
    key = manifests_key(attempt.job)
    if not blobs.exists(key):
        recipe = RECIPES.get(attempt.spec.recipe)
        plain = recipe.files if recipe else ()
        found = {source.name: manifest(source, plain=source.name in plain) for source in attempt.spec.data}
        for source in attempt.spec.data:
            if source.snapshot:
                blobs.run(snapshot(found[source.name], open_store(attempt.blobs)))
        file = folder / "manifests.json"
        file.write_text(json.dumps({name: json.loads(each.to_json()) for name, each in found.items()}))
        blobs.put(key, file)
    documents: Mapping[str, object] = json.loads(blobs.read(key))
    return {name: Manifest.from_json(json.dumps(document)) for name, document in documents.items()}


def manifest(source: DataSource, *, plain: bool = False) -> Manifest:
    """One of all the source's places; InvalidArgument when they do not fit together. `plain`: of files without rows."""
    return joined([discover_files(uri) if plain else discover(uri) for uri in source.uris], source.name)


def joined(found: Sequence[Manifest], name: str) -> Manifest:
    """One manifest of several places; InvalidArgument when formats or columns differ."""
    first = found[0]
    for other in found[1:]:
        if (other.format, other.columns) != (first.format, first.columns):
            raise InvalidArgument([Violation(f"data.{name}", "has places with unlike formats or columns")])
    files = tuple(file for each in found for file in each.files)
    # Made anew and not copied: files are put in order and the digest is of all of them.
    return Manifest(format=first.format, columns=first.columns, files=files)
