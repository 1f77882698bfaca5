"""What a training gives: the files of a version, and how its answers are to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

TASKS = ("", "classification", "regression", "ranking", "language")


@dataclass(frozen=True)
class Product:
    """`folder` holds the files of the version: `model.onnx`, or a directory as Triton serves it, with `config.pbtxt`.

    How it is judged on the test rows:

    task     classification, regression, ranking, language; empty: it is not evaluated
    inputs   tensor of the model -> the column that feeds it, or several that are put side by side as float32
    target   the column with the truth; classes are told by `classes`, or are the numbers from 0 on
    output   the tensor that is judged; empty: the first. Of classifications: probabilities, or logits (`logits`)
    slices   columns by whose values the figures are also told
    cases    "module:function", (rows, folder) -> Cases, where columns alone do not make the inputs
    answers  "module:function", (cases, outputs) -> name -> array, where an output alone does not make the answer;
             it is given `output` alone when that is named, and all of them otherwise
    evidence further files that are kept beside the version and not served: name -> file
    """

    folder: Path
    task: str = ""
    inputs: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    target: str = ""
    output: str = ""
    logits: bool = False
    classes: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    cases: str = ""
    answers: str = ""
    evidence: Mapping[str, Path] = field(default_factory=dict)
    description: str = ""
    # What else the card should say, by heading.
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r} is none of {', '.join(repr(task) for task in TASKS)}")
        if self.task and not self.cases and not (self.inputs and self.target):
            raise ValueError(f"a {self.task} is judged by its inputs and its target: name their columns, or `cases`")


@dataclass(frozen=True)
class Cases:
    """What a model is asked, and the truth. All arrays have one entry a case.

    `truth` by task: classification {"labels"}, regression {"targets"}, ranking {"relevance"}, language {"tokens"}.
    """

    inputs: Arrays
    truth: Arrays
    columns: Arrays = field(default_factory=dict)  # to slice by
