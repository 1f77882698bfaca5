"""Small tables with something to be learnt in them, and a small encoder in Hugging Face layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

GOOD, BAD = ("lovely", "soft", "perfect", "comfortable"), ("itchy", "torn", "cheap", "returned")
OTHER = ("dress", "shirt", "the", "a", "is", "was", "it", "size", "color", "very")
WORDS = (*GOOD, *BAD, *OTHER)


def reviews(path: Path, rows: int = 400) -> Path:
    """`text` of 4 to 14 words, `label` "yes" when there are more good ones than bad ones in it."""
    random = np.random.default_rng(1)
    texts, labels = [], []
    for _ in range(rows):
        liked = bool(random.random() < 0.5)
        telling = list(random.choice(GOOD if liked else BAD, random.integers(1, 4)))
        texts.append(" ".join(random.permutation([*telling, *random.choice(OTHER, random.integers(3, 11))])))
        labels.append("yes" if liked else "no")
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(path)
    return path


def documents(path: Path, rows: int = 300) -> Path:
    """`text` in which each word mostly decides the next one."""
    random = np.random.default_rng(2)
    texts = []
    for _ in range(rows):
        at, words = int(random.integers(len(WORDS))), []
        for _ in range(int(random.integers(3, 9))):
            words.append(WORDS[at])
            at = (at * 5 + 3 + int(random.random() < 0.2)) % len(WORDS)
        texts.append(" ".join(words))
    pd.DataFrame({"text": texts}).to_parquet(path)
    return path


def likes(path: Path, users: int = 120, items: int = 60, groups: int = 4) -> Path:
    """`user` (from 1000 on), `item` (text) and `rating`: users of a group like items of that group."""
    random = np.random.default_rng(3)
    rows = []
    for user in range(users):
        mine = np.arange(user % groups, items, groups)
        for item in random.choice(mine, 12, replace=False):
            rows.append((1000 + user, f"item-{item:03d}", 4 + int(random.random() < 0.5)))
        for item in random.choice(items, 4, replace=False):
            rows.append((1000 + user, f"item-{item:03d}", 1 + int(random.random() < 0.5)))
    table = pd.DataFrame(rows, columns=["user", "item", "rating"]).drop_duplicates(["user", "item"])
    table.sample(frac=1, random_state=0).to_parquet(path, index=False)
    return path


def encoder(folder: Path, words: Sequence[str] = WORDS, *, dropout: float = 0.1) -> Path:
    """A BERT of two layers with random weights, and a tokenizer of whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    whole = Tokenizer(models.WordLevel({each: n for n, each in enumerate([*special, *words])}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=whole, **named).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = BertConfig(vocab_size=len(special) + len(words), max_position_embeddings=64, **sizes, **drops)
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
