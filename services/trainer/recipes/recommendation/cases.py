"""What a version is asked about test rows: for each user in them, where the items come that the user liked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bmase.training import Batch, Cases

from services.trainer.recipes.facts import facts_of
from services.trainer.recipes.recommendation.interactions import Ids

MOST_CELLS = 100_000_000  # of the table users times items; of more users, the first are asked


def cases(rows: Batch, folder: Path) -> Cases:
    """`rows` with the columns that the version was trained on; `folder` holds its model."""
    facts = facts_of(folder)
    items = Ids(np.array(facts["items"], object if isinstance(facts["items"][0], str) else np.int64))
    known = np.isin(rows[facts["item"]], items.values)
    liked = known & (rows[facts["rating"]] >= facts["relevant_from"]) if facts["relevant_from"] is not None else known
    users, places = np.unique(rows[facts["user"]][liked], return_inverse=True)
    users = users[: max(1, MOST_CELLS // len(items.values))]
    relevance = np.zeros((len(users), len(items.values)), np.float32)
    asked = places < len(users)
    relevance[places[asked], items.numbers(rows[facts["item"]][liked][asked])] = 1
    return Cases({"user": users}, {"relevance": relevance})
