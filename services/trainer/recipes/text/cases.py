"""What a version is asked about test rows: their texts, as its own tokenizer cuts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bmase.training import Batch, Cases

from services.trainer.recipes import tokens
from services.trainer.recipes.facts import facts_of
from services.trainer.recipes.labels import Labels


def cases(rows: Batch, folder: Path) -> Cases:
    """`rows` with the columns that the version was trained on; `folder` holds its model and tokenizer."""
    facts = facts_of(folder)
    text, label = facts["columns"]["text"], facts["columns"]["label"]
    known = Labels(facts["labels"]["count"], tuple(facts["labels"]["classes"]), facts["labels"]["text"], {})
    texts = tokens.tokens_of(tokens.load(folder), rows[text])
    ids, mask = texts.padded(np.arange(len(texts.lengths)), facts["pad"])
    return Cases({"input_ids": ids, "attention_mask": mask}, {"labels": known.indices(rows[label])})
