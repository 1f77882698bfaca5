"""Learns what comes after the tokens of documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bmase.training import Product, Run
from bmase.training.torch import device, seeded
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes import facts, folders, tokens
from services.trainer.recipes.batches import Rows, plan, share
from services.trainer.recipes.descent import Learner, descend, settle
from services.trainer.recipes.graphs import check_size, graph_of
from services.trainer.recipes.language import model
from services.trainer.recipes.language.documents import END, Stream, learnt, of_bytes, stream_of, texts_in
from services.trainer.recipes.language.model import Causal
from services.trainer.recipes.language.recipe import Language

HOOKS = "services.trainer.recipes.language.cases"


def main(run: Run) -> None:
    """See `Language` for the parameters."""
    asked = Language.model_validate(run.parameters)
    settle(run)
    texts = {part: _texts(run, part, asked.text) for part in ("train", "validation")}
    cutter = _cutter(asked, texts["train"])
    train, validation = (stream_of(cutter.tokenizer, each, cutter.end) for each in texts.values())
    seeded(run)
    causal = _model(asked, cutter)
    check_size(causal)
    learner = Learning(causal, train, validation, asked.context, asked.batch)
    # The last block is shorter than the others and left out, unless it is the only one.
    blocks = max(train.predicted // asked.context, min(1, train.predicted))
    steps = plan(blocks, asked.batch, asked.epochs, run.seed, run.world_size)
    rates = [(asked.learning_rate, list(learner.model.parameters()))]
    told = descend(run, learner, steps, rates, decay=asked.weight_decay, warm=asked.warm, patience=asked.patience)
    if run.first and run.final:
        run.finish(_product(run.folder / "product", asked, learner.model, cutter, told))


@dataclass(frozen=True, eq=False)
class Cutter:
    """What makes tokens of texts; `folder` of the pretrained model that it belongs to."""

    tokenizer: Tokenizer
    end: int
    folder: Path | None = None


class Learning(Learner):
    """The cross-entropy of each token after those before it, in nats."""

    model: Causal

    def __init__(self, causal: Causal, train: Stream, validation: Stream, context: int, batch: int) -> None:
        self.model, self._train, self._validation, self._context, self._batch = (
            causal,
            train,
            validation,
            context,
            batch,
        )

    def loss(self, model: nn.Module, rows: Rows) -> torch.Tensor:
        nats, count = self._nats(model, self._train, rows)
        return nats * len(rows) / count

    def judge(self, rank: int, workers: int) -> Mapping[str, float]:
        mine = share(np.arange(self._validation.blocks(self._context)), rank, workers)
        sums = {"count": 0.0, "loss": 0.0}
        for start in range(0, len(mine), self._batch):
            nats, count = self._nats(self.model, self._validation, mine[start : start + self._batch])
            sums["loss"] += float(nats)
            sums["count"] += count
        return sums

    def told(self, means: Mapping[str, float]) -> dict[str, float]:
        loss, stream = means["loss"], self._validation
        bits = loss * stream.predicted / max(1, stream.bytes) / math.log(2)
        return {"val_loss": loss, "val_perplexity": math.exp(min(loss, 700)), "val_bits_per_byte": bits}

    def _nats(self, model: nn.Module, stream: Stream, rows: Rows) -> tuple[torch.Tensor, int]:
        ids, after = (torch.from_numpy(each).to(device()) for each in stream.block(rows, self._context))
        logits = model(ids)
        return functional.cross_entropy(logits.flatten(0, 1), after.flatten(), reduction="sum"), int((after >= 0).sum())


def _texts(run: Run, part: str, column: str) -> list[str]:
    values = run.table(part, [column])[column]
    tokens.check_texts(values, column)
    return texts_in(values)


def _cutter(asked: Language, texts: list[str]) -> Cutter:
    where, parameter = (asked.model, "model") if asked.model else (asked.tokenizer, "tokenizer")
    if not where:
        tokenizer = learnt(texts, asked.vocabulary) if asked.vocabulary else of_bytes()
        return Cutter(tokenizer, int(tokenizer.token_to_id(END) or 0))
    folder = folders.located(where, parameter, weights=bool(asked.model))
    tokenizer, special = tokens.from_pretrained(folder)
    end = special.end if special.end is not None else special.pad
    if end is None:
        words = f"{where}: its tokenizer has no token for the end of a text"
        raise InvalidArgument([Violation(f'job.parameters["{parameter}"]', words)])
    return Cutter(_plain(tokenizer), end, folder if asked.model else None)


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Without what it puts around each text: the ends are put there by us."""
    from tokenizers.processors import TemplateProcessing  # noqa: PLC0415

    tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    return tokenizer


def _model(asked: Language, cutter: Cutter) -> model.Causal:
    if cutter.folder is None:
        sizes = {"layers": asked.layers, "width": asked.width, "heads": asked.heads, "context": asked.context}
        return model.new(cutter.tokenizer.get_vocab_size(), cutter.end, **sizes)
    found = model.pretrained(cutter.folder)
    most = getattr(found.transformer.config, "max_position_embeddings", asked.context)
    if asked.context > most:
        words = f"{asked.context} tokens are more than the {most} that the model takes"
        raise InvalidArgument([Violation('job.parameters["context"]', words)])
    return found


def _product(folder: Path, asked: Language, causal: model.Causal, cutter: Cutter, told: Mapping[str, float]) -> Product:
    example = {"input_ids": torch.ones((2, 8), dtype=torch.int64)}
    axes = {"input_ids": {0: "batch", 1: "length"}}
    graph = graph_of(model.Served(causal), example, ["logits", "losses"], axes)
    facts.write(graph, folder, {"text": asked.text, "end": cutter.end, "context": asked.context})
    cutter.tokenizer.save(str(folder / tokens.FILE))  # beside the model, so that whoever fetches it can ask it
    size = sum(each.numel() for each in causal.parameters())
    pretrained = {"Pretrained": {"from": asked.model, "digest": folders.digest(cutter.folder)}} if cutter.folder else {}
    return Product(
        folder,
        task="language",
        output="losses",
        cases=f"{HOOKS}:cases",
        answers=f"{HOOKS}:answers",
        description=f"causal language model of {size} parameters, of the column {asked.text}",
        notes={
            **pretrained,
            "Tokens": f"{cutter.tokenizer.get_vocab_size()}; {tokens.FILE} lies beside the model",
            "Judged": f"on the first {asked.context} tokens of each document, which begin with its start",
            "Validation": dict(told),
        },
    )
