"""Directories as Hugging Face's libraries save them: config.json and safetensors, read from here only and without
their code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.trainer.imports.graph import OPSET
from services.trainer.imports.originals.original import Original, versions
from services.trainer.imports.originals.torchmodels import flat, save
from services.trainer.imports.request import Request

# The parameter `task` -> class of transformers, and the outputs that are served.
TASKS = {
    "feature-extraction": ("AutoModel", ("last_hidden_state", "pooler_output")),
    "sequence-classification": ("AutoModelForSequenceClassification", ("logits",)),
    "token-classification": ("AutoModelForTokenClassification", ("logits",)),
    "causal-lm": ("AutoModelForCausalLM", ("logits",)),
    "masked-lm": ("AutoModelForMaskedLM", ("logits",)),
}
EXAMPLE = (2, 8)


def opened(request: Request) -> Original:
    import transformers  # noqa: PLC0415

    torch.set_num_threads(1)
    folder = Path(request.model)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    task = request.task or task_of(config)
    if task not in TASKS:
        raise ValueError(f"task {task!r} is none of {', '.join(TASKS)}")
    name, outputs = TASKS[task]
    model = getattr(transformers, name).from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
        attn_implementation="eager",
    )  # fmt: skip
    return _HuggingFace(model.eval(), task, outputs)


def task_of(config: Mapping[str, Any]) -> str:
    """By the architecture that was saved; a bare model gives features."""
    for architecture in config.get("architectures") or ():
        for ending, task in (
            ("ForSequenceClassification", "sequence-classification"),
            ("ForTokenClassification", "token-classification"),
            ("ForCausalLM", "causal-lm"),
            ("LMHeadModel", "causal-lm"),
            ("ForMaskedLM", "masked-lm"),
        ):
            if architecture.endswith(ending):
                return task
    return "feature-extraction"


class _Called(torch.nn.Module):
    """With positional tensors in, and only the named tensors out; without a cache, which is no tensor."""

    def __init__(self, model: torch.nn.Module, outputs: tuple[str, ...], cached: bool) -> None:
        super().__init__()
        self.model, self.outputs, self.more = model, outputs, {"use_cache": False} if cached else {}

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **self.more)
        return tuple(answer[name] for name in self.outputs if answer.get(name) is not None)


class _HuggingFace(Original):
    def __init__(self, model: Any, task: str, outputs: tuple[str, ...]) -> None:
        self.model, self.task, self.outputs = model, task, outputs
        self.called = _Called(model, outputs, cached=task == "causal-lm")
        # A mask of zeros alone is a text without words, which attention has no answer to.
        self.ranges = {"input_ids": (0, model.config.vocab_size), "attention_mask": (1, 2)}
        self.notes = ("the tokenizer is kept as evidence; the model takes what it makes: input_ids and attention_mask",)

    @property
    def origin(self) -> dict[str, str]:
        parameters = sum(each.numel() for each in self.model.parameters())
        kind = {"class": type(self.model).__name__, "task": self.task, "parameters": str(parameters)}
        return {**kind, "torch": torch.__version__, **versions("transformers", "onnxscript")}

    def convert(self, target: Path) -> None:
        ids = torch.randint(0, self.model.config.vocab_size, EXAMPLE, generator=torch.Generator().manual_seed(0))
        example = (ids, torch.ones(EXAMPLE, dtype=torch.int64))
        with torch.no_grad():
            names = [name for name in self.outputs if self.called.model(ids, return_dict=True).get(name) is not None]
            varying = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
            program = torch.onnx.export(
                self.called, example, dynamo=True, opset_version=OPSET, verbose=False, output_names=names,
                input_names=["input_ids", "attention_mask"], dynamic_shapes=(varying, varying),
            )  # fmt: skip
        save(program, target)

    @torch.no_grad()
    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return flat(self.called(*(torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask"))))
