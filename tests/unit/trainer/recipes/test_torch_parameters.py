"""What jobs may ask of the recipes for text, language and recommendation."""

from __future__ import annotations

from typing import Any

import pytest

from services.kit.errors import InvalidArgument
from services.trainer.recipes.catalogue import by_name


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("text-classification", {}, "encoder"),
        ("text-classification", {"encoder": "x", "learning_rate": 0}, "greater than 0"),
        ("text-classification", {"encoder": "x", "lr": 1}, "is not known here"),
        ("language-model", {"width": 100, "heads": 3}, "multiple of twice the 3 heads"),
        ("language-model", {"vocabulary": 100}, "more than 257 tokens"),
        ("language-model", {"model": "x", "vocabulary": 500}, "have their own"),
        ("language-model", {"model": "x", "tokenizer": "y"}, "which has its own"),
        ("recommendation", {"objective": "magic"}, "objective"),
    ],
)
def test_what_cannot_be_is_refused(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        by_name(name).check(given)
