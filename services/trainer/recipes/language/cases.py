"""What a version is asked about test rows: each document by itself; and what its answer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from bmase.training import Batch, Cases

from services.trainer.recipes import tokens
from services.trainer.recipes.facts import facts_of
from services.trainer.recipes.language.documents import documents_of, texts_in


def cases(rows: Batch, folder: Path) -> Cases:
    """`rows` with the column that the version was trained on; those without text are left out."""
    facts = facts_of(folder)
    tokenizer, end = tokens.load(folder), facts["end"]
    documents = documents_of(tokenizer, texts_in(rows[facts["text"]]), end, facts["context"])
    ids, mask = documents.padded(np.arange(len(documents.lengths)), end)
    # The end before a document is given, not predicted.
    return Cases({"input_ids": ids}, {"tokens": mask.sum(1) - 1})


def answers(cases: Cases, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{"losses": (n,)}: nats of each document, summed over its tokens; what fills it up does not count."""
    losses = outputs["losses"]
    counted = np.arange(losses.shape[1]) <= cases.truth["tokens"][:, None]
    return {"losses": np.where(counted, losses, 0).astype(np.float64).sum(1)}
