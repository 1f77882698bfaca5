"""Plain scripts of the same libraries, on the same rows and with the same pace: what the recipes have to reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bmase.training import checkpoints
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from services.trainer.evaluation.answers import Ranking
from services.trainer.evaluation.metrics.ranking import ndcg
from services.trainer.recipes.language.model import new
from services.trainer.recipes.text.model import Classifier, encoder_of
from tests.support.recipes import Trained


def parts(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on and to test on, as `LocalRun` parts them."""
    table = pd.read_parquet(data)
    place = np.arange(len(table)) % 10
    return table[place > 1], table[place == 0]


def batches(count: int, size: int, epochs: int, optimiser: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Rows of each step, in an order of torch's; the rate falls along a line."""
    total = epochs * (count // size)
    falls = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / total)
    for _ in range(epochs):
        for rows in torch.randperm(count).split(size)[: count // size]:
            yield rows
            nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
            optimiser.step()
            falls.step()
            optimiser.zero_grad()


def text(data: Path, folder: Path, epochs: int) -> float:
    """The accuracy on the test rows of an encoder that is fine-tuned with a layer on the mean of its tokens."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = AutoModel.from_pretrained(folder, local_files_only=True)
    head = nn.Linear(encoder.config.hidden_size, 2)
    train, test = parts(data)

    def logits(rows: pd.DataFrame) -> torch.Tensor:
        given = tokenizer(list(rows.text), padding=True, return_tensors="pt", return_token_type_ids=False)
        weight = given["attention_mask"].unsqueeze(-1).float()
        return head((encoder(**given).last_hidden_state * weight).sum(1) / weight.sum(1))

    def labels(rows: pd.DataFrame) -> torch.Tensor:
        return torch.tensor((rows.label == "yes").to_numpy(), dtype=torch.long)

    groups = [{"params": encoder.parameters(), "lr": 2e-3}, {"params": head.parameters(), "lr": 5e-3}]
    for rows in batches(len(train), 16, epochs, torch.optim.AdamW(groups)):
        chosen = train.iloc[rows.tolist()]
        functional.cross_entropy(logits(chosen), labels(chosen)).backward()
    encoder.eval()
    with torch.no_grad():
        return float((logits(test).argmax(1) == labels(test)).float().mean())


def language(data: Path, epochs: int) -> tuple[float, float]:
    """Perplexities of the test documents: of a small Llama over bytes with its own loss, and of counted bytes."""
    torch.manual_seed(0)
    train, test = parts(data)
    stream = torch.tensor([256, *(byte for each in train.text for byte in (*each.encode(), 256))])
    blocks = stream[: len(stream) // 32 * 32].reshape(-1, 32)
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=88,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        **sizes,
    )
    model = LlamaForCausalLM(config)
    for rows in batches(len(blocks), 8, epochs, torch.optim.AdamW(model.parameters(), lr=1e-2)):
        model(input_ids=blocks[rows], labels=blocks[rows]).loss.backward()
    model.eval()
    told = torch.bincount(stream, minlength=257) + 1.0
    chances = (told / told.sum()).log()
    nats = counted = tokens = 0.0
    for each in test.text:
        ids = torch.tensor([[256, *each.encode(), 256]])[:, :32]
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        counted -= float(chances[ids[0, 1:]].sum())
        tokens += ids.shape[1] - 1
    return float(np.exp(nats / tokens)), float(np.exp(counted / tokens))


def recommendation(data: Path, users: np.ndarray, relevance: np.ndarray, masked: np.ndarray) -> tuple[float, float]:
    """ndcg@10 of vectors that are learnt by a softmax over all items, and of how many people liked each item."""
    torch.manual_seed(0)
    everything, (train, _) = pd.read_parquet(data), parts(data)
    items, people = np.unique(everything.item), np.unique(everything.user)
    liked = train[train.rating >= 3]
    who = torch.tensor(np.searchsorted(people, liked.user))
    what = torch.tensor(np.searchsorted(items, liked.item.to_numpy(object)))
    one, other = nn.Embedding(len(people), 16), nn.Embedding(len(items), 16)
    for table in (one, other):
        nn.init.normal_(table.weight, std=0.1)
    learnt = [*one.parameters(), *other.parameters()]
    for rows in batches(len(liked), 64, 12, torch.optim.AdamW(learnt, lr=2e-2)):
        functional.cross_entropy(one(who[rows]) @ other.weight.T, what[rows]).backward()
    with torch.no_grad():
        scores = (one(torch.tensor(np.searchsorted(people, users))) @ other.weight.T).numpy()
    counts = np.tile(np.bincount(what, minlength=len(items)).astype(float), (len(users), 1))
    return (_ndcg(relevance, scores, masked), _ndcg(relevance, counts, masked))


def _ndcg(relevance: np.ndarray, scores: np.ndarray, masked: np.ndarray) -> float:
    return float(ndcg(Ranking(relevance, np.where(masked, -1e9, scores)), 10).mean())


def had(data: Path, user: int) -> set[str]:
    """Everything that a user had in rows that are not for test."""
    table = pd.read_parquet(data)
    known = table[np.arange(len(table)) % 10 > 0]
    return set(known.item[known.user == user])


def of_torch(name: str, trained: Trained, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the weights of the last checkpoint's best epoch answer, without any graph."""
    saved = checkpoints.last(trained.checkpoints)
    assert saved is not None
    weights: dict[str, Any] = saved.state["best"]["weights"]
    given = {key: torch.from_numpy(values) for key, values in inputs.items()}
    ask = {"text-classification": _text, "language-model": _language, "recommendation": _recommendation}[name]
    with torch.no_grad():
        return ask(trained, weights, given)


def _text(trained: Trained, weights: dict[str, Any], given: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    model = Classifier(encoder_of(Path(trained.parameters["encoder"])), 2, 0.0)
    model.load_state_dict(weights)
    return {"probabilities": torch.softmax(model.eval()(**given), -1).numpy()}


def _language(trained: Trained, weights: dict[str, Any], given: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    sizes = {name: trained.parameters[name] for name in ("layers", "width", "heads", "context")}
    causal = new(257, 256, **sizes)
    causal.load_state_dict(weights)
    logits = causal.eval()(**given)
    return {"logits": logits.numpy()}


def _recommendation(trained: Trained, weights: dict[str, Any], given: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    table = pd.read_parquet(trained.data)
    people, items = np.unique(table.user), np.unique(table.item)
    known = table[np.arange(len(table)) % 10 > 0]
    scores = weights["users.weight"][1 + np.searchsorted(people, given["user"][:, 0].numpy())]
    found = (scores @ weights["items.weight"].T + weights["item_bias.weight"].T).numpy()
    rows = {user: place for place, user in enumerate(given["user"][:, 0].tolist())}
    for user, item in zip(known.user, known.item, strict=True):
        if user in rows:
            found[rows[user], np.searchsorted(items, item)] = -1e9
    return {"scores": found}
