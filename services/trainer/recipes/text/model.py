"""An encoder with one layer on the mean of its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn


class Classifier(nn.Module):
    """Tokens and mask (n, length) -> logits (n, classes)."""

    def __init__(self, encoder: Any, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(self.dropout(mean))


class Served(nn.Module):
    """What is exported: probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.classifier(input_ids, attention_mask), -1)


def encoder_of(folder: Path) -> Any:
    """The encoder of a pretrained folder, in float32, without the parts that a mean of tokens does not use."""
    from transformers import AutoModel  # noqa: PLC0415 - seconds

    encoder: Any = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # a parameter without a gradient would keep several workers waiting
    return encoder


def freeze(encoder: Any, lowest: int) -> int:
    """Keeps the embeddings and the lowest layers as they are; gives the number of layers that there are.

    ValueError when the layers cannot be told.
    """
    count = int(encoder.config.num_hidden_layers)
    stacks = [each for each in encoder.modules() if isinstance(each, nn.ModuleList) and len(each) == count]
    if not stacks:
        raise ValueError(f"no list of {count} layers in {type(encoder).__name__}")
    kept = {id(each) for layer in stacks[0][lowest:] for each in layer.parameters()}
    inside = {id(each) for each in stacks[0].parameters()}
    for name, each in encoder.named_parameters():
        each.requires_grad = id(each) in kept or (id(each) not in inside and "embed" not in name)
    return count
