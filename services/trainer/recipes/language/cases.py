"""What a version is asked about test rows: each document by itself; and what its answer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from bmase.training import Batch, Cases

from services.trainer.recipes import tokens
from services.trainer.recipes.facts import facts_of
from services.trainer.recipes.language.documents import documents_of, texts_in

MOST_LOGITS = 2**27  # of all documents together, half a gigabyte: of more documents, the first are asked


def cases(rows: Batch, folder: Path) -> Cases:
    """`rows` with the column that the version was trained on; those without text are left out."""
    facts = facts_of(folder)
    tokenizer, end = tokens.load(folder), facts["end"]
    most = max(1, MOST_LOGITS // (facts["context"] * tokenizer.get_vocab_size()))
    documents = documents_of(tokenizer, texts_in(rows[facts["text"]])[:most], end, facts["context"])
    ids, mask = documents.padded(np.arange(len(documents.lengths)), end)
    # The end before a document is given, not predicted.
    return Cases({"input_ids": ids}, {"tokens": mask.sum(1) - 1})


def answers(cases: Cases, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Nats of each document (n,), summed over its tokens, and how many these are; what fills it up does not count."""
    losses = outputs["losses"]
    tokens_of_each = cases.truth["tokens"]
    counted = np.arange(losses.shape[1]) <= tokens_of_each[:, None]
    return {"losses": np.where(counted, losses, 0).astype(np.float64).sum(1), "tokens": tokens_of_each}
