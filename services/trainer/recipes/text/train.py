"""Fine-tunes the encoder and its new layer on a column of texts and a column of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bmase.training import Product, Run
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes import facts, folders, tokens
from services.trainer.recipes.batches import Rows, plan, share
from services.trainer.recipes.descent import Learner, descend, settle
from services.trainer.recipes.graphs import check_size, graph_of
from services.trainer.recipes.labels import Labels, labels
from services.trainer.recipes.text.model import Classifier, Served, encoder_of, freeze
from services.trainer.recipes.text.recipe import Texts

CASES = "services.trainer.recipes.text.cases:cases"


def main(run: Run) -> None:
    """See `Texts` for the parameters."""
    asked = Texts.model_validate(run.parameters)
    folder = folders.located(asked.encoder, "encoder")
    settle(run)
    known = labels(run, asked.label)
    tokenizer, special = tokens.from_pretrained(folder, asked.max_length)
    train, validation = (_rows(run, part, asked, tokenizer, known) for part in ("train", "validation"))
    steps = plan(len(train.labels), asked.batch, asked.epochs, run.seed, run.world_size, lengths=train.texts.lengths)
    learner = Learning(_model(asked, folder, known.count), train, validation, special.pad or 0, asked.batch)
    told = descend(
        run,
        learner,
        steps,
        learner.rates(asked.learning_rate, asked.head_learning_rate),
        decay=asked.weight_decay,
        warm=asked.warm,
        patience=asked.patience,
    )
    if run.first and run.final:
        digest = folders.digest(folder)
        given: dict[str, Any] = {"tokenizer": tokenizer, "known": known, "told": told, "encoder": digest}
        run.finish(_product(run.folder / "product", asked, learner, **given))


@dataclass(frozen=True)
class Part:
    """The rows of one part, as numbers."""

    texts: tokens.Tokens
    labels: Rows


class Learning(Learner):
    """Cross-entropy of the labels, and how often the likeliest one is right."""

    model: Classifier

    def __init__(self, model: Classifier, train: Part, validation: Part, pad: int, batch: int) -> None:
        self.model, self._train, self._validation, self.pad, self._batch = model, train, validation, pad, batch

    def rates(self, encoder: float, head: float) -> Sequence[tuple[float, list[nn.Parameter]]]:
        """The parameters that are trained, by their highest learning rate."""
        inner = [each for each in self.model.encoder.parameters() if each.requires_grad]
        return [
            (rate, group) for rate, group in ((encoder, inner), (head, list(self.model.head.parameters()))) if group
        ]

    def loss(self, model: nn.Module, rows: Rows) -> torch.Tensor:
        logits, labels = self._asked(model, self._train, rows)
        return functional.cross_entropy(logits, labels, reduction="sum")

    def judge(self, rank: int, workers: int) -> Mapping[str, float]:
        part = self._validation
        order = np.argsort(part.texts.lengths, kind="stable")
        mine = share(order, rank, workers)
        loss = right = 0.0
        for start in range(0, len(mine), self._batch):
            logits, labels = self._asked(self.model, part, mine[start : start + self._batch])
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
            right += float((logits.argmax(1) == labels).sum())
        return {"count": len(mine), "loss": loss, "accuracy": right}

    def _asked(self, model: nn.Module, part: Part, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = part.texts.padded(rows, self.pad)
        where = next(self.model.parameters()).device
        given = (torch.from_numpy(each).to(where) for each in (ids, mask, part.labels[rows]))
        input_ids, attention_mask, labels = given
        return model(input_ids, attention_mask), labels


def _rows(run: Run, part: str, asked: Texts, tokenizer: Tokenizer, known: Labels) -> Part:
    table = run.table(part, [asked.text, asked.label])
    tokens.check_texts(table[asked.text], asked.text)
    return Part(tokens.tokens_of(tokenizer, table[asked.text]), known.indices(table[asked.label]))


def _model(asked: Texts, folder: Path, classes: int) -> Classifier:
    encoder = encoder_of(folder)
    most = getattr(encoder.config, "max_position_embeddings", asked.max_length)
    if asked.max_length > most:
        words = f"{asked.max_length} tokens are more than the {most} that the encoder takes"
        raise InvalidArgument([Violation('job.parameters["max_length"]', words)])
    layers = freeze(encoder, asked.freeze) if asked.freeze else encoder.config.num_hidden_layers
    if asked.freeze > layers:
        words = f"the encoder has only {layers} layers"
        raise InvalidArgument([Violation('job.parameters["freeze"]', words)])
    classifier = Classifier(encoder, classes, asked.dropout)
    check_size(classifier)
    return classifier


def _product(
    folder: Path,
    asked: Texts,
    learner: Learning,
    *,
    tokenizer: Tokenizer,
    known: Labels,
    told: Mapping[str, float],
    encoder: str,
) -> Product:
    example = {name: torch.ones((2, 8), dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    axes = {name: {0: "batch", 1: "length"} for name in example}
    graph = graph_of(Served(learner.model), example, ["probabilities"], axes)
    told_apart = {"count": known.count, "classes": known.classes, "text": known.text}
    columns = {"text": asked.text, "label": asked.label}
    facts.write(graph, folder, {"columns": columns, "labels": told_apart, "pad": learner.pad})
    tokenizer.save(str(folder / tokens.FILE))  # beside the model, so that whoever fetches it can ask it
    return Product(
        folder,
        task="classification",
        target=asked.label,
        output="probabilities",
        classes=known.classes,
        cases=CASES,
        description=f"{asked.label} of {asked.text}, by a fine-tuned transformer encoder",
        notes={
            "Encoder": {"from": asked.encoder, "digest": encoder},
            "Tokens": f"{tokens.FILE} lies beside the model; it cuts texts to {asked.max_length} tokens",
            "Validation": dict(told),
        },
    )
