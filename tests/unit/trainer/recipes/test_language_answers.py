"""What the costs of tokens make of a document."""

from __future__ import annotations

import numpy as np
from bmase.training import Cases

from services.trainer.evaluation.answers import Language
from services.trainer.recipes.language.cases import answers


def test_costs_are_summed_over_the_tokens_of_a_document_and_not_over_what_fills_it_up() -> None:
    asked = Cases({"input_ids": np.zeros((2, 4), np.int64)}, {"tokens": np.array([3, 1])})
    found = Language(**answers(asked, {"losses": np.array([[0, 1, 2, 3], [0, 5, 7, 7]], np.float32)}))
    assert found.losses.tolist() == [6, 5]
    assert found.tokens.tolist() == [3, 1]
