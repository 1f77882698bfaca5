"""Causal transformers: one from scratch as Llama is built, or one from a folder; and the graph that is served."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Causal(nn.Module):
    """Tokens (n, length) -> logits (n, length, vocabulary) of the token after each."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.transformer(input_ids=input_ids, use_cache=False).logits


class Served(nn.Module):
    """Tokens (n, length) -> logits, and what each token costs in nats after those before it (n, length); the first 0.

    The costs are small where logits are large: whoever judges texts need not fetch those.
    """

    def __init__(self, model: Causal) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(input_ids)
        nats = functional.cross_entropy(logits[:, :-1].transpose(1, 2), input_ids[:, 1:], reduction="none")
        return logits, functional.pad(nats, (1, 0))


def new(vocabulary: int, end: int, *, layers: int, width: int, heads: int, context: int) -> Causal:
    """With weights that torch's generator draws; input and output share theirs."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - seconds

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=-(-width * 8 // 3 // 8) * 8,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=width**-0.5,  # its own 0.02 is for widths of thousands: narrow models would learn slowly
        bos_token_id=end,
        eos_token_id=end,
    )
    return Causal(LlamaForCausalLM(config))


def pretrained(folder: Path) -> Causal:
    """In float32."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds

    found = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    return Causal(found)
