"""Learns from the rows of the training part which items fit to which users."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bmase.training import Product, Run
from bmase.training.torch import seeded
from torch import nn
from torch.nn import functional

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Ranking
from services.trainer.evaluation.metrics import ranking
from services.trainer.recipes import facts
from services.trainer.recipes.batches import Rows, plan, share
from services.trainer.recipes.descent import Learner, descend, settle
from services.trainer.recipes.graphs import check_size, graph_of
from services.trainer.recipes.recommendation.ids import with_ids
from services.trainer.recipes.recommendation.interactions import Ids, Interactions, check_cells, had, ids_of
from services.trainer.recipes.recommendation.model import Factors, Served
from services.trainer.recipes.recommendation.recipe import Recommendation

CASES = "services.trainer.recipes.recommendation.cases:cases"
USERS_AT_ONCE = 256
K = 10


@dataclass(frozen=True, eq=False)
class Known:
    """Everything that a training knows: all ids, and the rows of two parts."""

    users: Ids
    items: Ids
    train: Interactions
    validation: Interactions

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users, with the unknown one, and of items."""
        return len(self.users.values) + 1, len(self.items.values)


def main(run: Run) -> None:
    """See `Recommendation` for the parameters."""
    asked = Recommendation.model_validate(run.parameters)
    settle(run)
    known = _known(run, asked)
    if asked.mask:
        check_cells(*known.shape)
    learned = known.train if asked.objective == "rating" else known.train.take(_liked(known.train, asked))
    steps = plan(len(learned), asked.batch, asked.epochs, run.seed, run.world_size)
    seeded(run)
    mean = float(learned.ratings.mean()) if asked.objective == "rating" else 0.0
    factors = Factors(*known.shape, asked.dimensions, asked.dropout, mean)
    check_size(factors)
    learner = Learning(asked, factors, known, learned)
    rates = [(asked.learning_rate, list(learner.trained()))]
    told = descend(run, learner, steps, rates, decay=asked.weight_decay, warm=asked.warm, patience=asked.patience)
    if run.first and run.final:
        run.finish(_product(run.folder, asked, learner.model, known, told))


class Learning(Learner):
    """By one of three objectives; judged by where the validation rows' items come among what users did not have."""

    model: Factors

    def __init__(self, asked: Recommendation, model: Factors, known: Known, learned: Interactions) -> None:
        self.model, self._asked, self._learned = model, asked, learned
        self._liked = known.validation.take(_liked(known.validation, asked))
        self._judged = np.unique(self._liked.users[self._liked.users > 0])
        self._train = known.train

    def trained(self) -> list[nn.Parameter]:
        """All parameters that the objective moves."""
        # Among all items, and in differences of two, a user's bias cancels out.
        idle = () if self._asked.objective == "rating" else (self.model.user_bias.weight,)
        for each in idle:
            each.requires_grad = False
        return [each for each in self.model.parameters() if each.requires_grad]

    def loss(self, model: nn.Module, rows: Rows) -> torch.Tensor:
        where = next(self.model.parameters()).device
        users = torch.from_numpy(self._learned.users[rows]).to(where)
        items = torch.from_numpy(self._learned.items[rows]).to(where)
        if self._asked.objective == "softmax":
            return functional.cross_entropy(model(users), items, reduction="sum")
        if self._asked.objective == "rating":
            ratings = torch.from_numpy(self._learned.ratings[rows]).to(where)
            return functional.mse_loss(model(users, items[:, None])[:, 0], ratings, reduction="sum")
        drawn = torch.randint(self.model.items.num_embeddings, (len(rows), self._asked.negatives)).to(where)
        scores = model(users, torch.cat([items[:, None], drawn], 1))
        return functional.softplus(scores[:, 1:] - scores[:, :1]).mean(1).sum()

    def judge(self, rank: int, workers: int) -> Mapping[str, float]:
        mine = share(self._judged, rank, workers)
        sums = {"count": float(len(mine)), f"hit@{K}": 0.0, f"ndcg@{K}": 0.0}
        for start in range(0, len(mine), USERS_AT_ONCE):
            answers = self._answers(mine[start : start + USERS_AT_ONCE])
            sums[f"hit@{K}"] += float(ranking.hits(answers, K).sum())
            sums[f"ndcg@{K}"] += float(ranking.ndcg(answers, K).sum())
        return sums

    def cost(self, told: Mapping[str, float]) -> float:
        return -told[f"val_ndcg@{K}"]

    def _answers(self, users: Rows) -> Ranking:
        where = next(self.model.parameters()).device
        scores = self.model(torch.from_numpy(users).to(where)).cpu().numpy()
        scores[_table(self._train, users, scores.shape[1])] = scores.min() - 1
        return Ranking(_table(self._liked, users, scores.shape[1]).astype(np.float32), scores)


def _table(rows: Interactions, users: Rows, items: int) -> np.ndarray:
    """(users, items) bool: what these users, sorted, have in the rows."""
    places = np.searchsorted(users, rows.users).clip(max=len(users) - 1)
    among = users[places] == rows.users
    table = np.zeros((len(users), items), np.bool_)
    table[places[among], rows.items[among]] = True
    return table


def _liked(rows: Interactions, asked: Recommendation) -> np.ndarray:
    return rows.ratings >= (-np.inf if asked.relevant_from is None else asked.relevant_from)


def _known(run: Run, asked: Recommendation) -> Known:
    if not asked.rating and (asked.objective == "rating" or asked.relevant_from is not None):
        words = "is needed for the objective rating and for relevant_from: name the column"
        raise InvalidArgument([Violation('job.parameters["rating"]', words)])
    # Of all parts: that an item or a user exists is no secret; what they had to do with each other is.
    everyone = run.table("all", [asked.user, asked.item])
    users, items = ids_of(everyone[asked.user], asked.user, first=1), ids_of(everyone[asked.item], asked.item)
    train, validation = (_rows(run, part, asked, users, items) for part in ("train", "validation"))
    return Known(users, items, train, validation)


def _rows(run: Run, part: str, asked: Recommendation, users: Ids, items: Ids) -> Interactions:
    table = run.table(part, [asked.user, asked.item, *([asked.rating] if asked.rating else [])])
    count = len(table[asked.user])
    ratings = table[asked.rating] if asked.rating else np.ones(count)
    if ratings.dtype.kind not in "iufb" or not np.isfinite(ratings.astype(np.float64)).all():
        raise InvalidArgument([Violation("job.data", f"the column {asked.rating} holds more than finite numbers")])
    return Interactions(users.numbers(table[asked.user]), items.numbers(table[asked.item]), ratings.astype(np.float32))


def _product(folder: Path, asked: Recommendation, model: Factors, known: Known, told: Mapping[str, float]) -> Product:
    users, items = known.shape
    seen = had(known.train, users, items) | had(known.validation, users, items) if asked.mask else None
    served = Served(model, None if seen is None else torch.from_numpy(seen))
    graph = graph_of(served, {"user": torch.zeros((2, 1), dtype=torch.int64)}, ["scores"], {"user": {0: "batch"}})
    facts.write(with_ids(graph, known.users, "user"), folder / "product", _facts(asked, known.items))
    listed = _listed(folder / "items.csv", known.items)
    return Product(
        folder / "product",
        task="ranking",
        output="scores",
        cases=CASES,
        evidence={"items.csv": listed},
        description=f"scores of {items} items for {users - 1} users, by matrix factorisation",
        notes={
            "Items": "the place of each score is that of its item in items.csv",
            "Known items": "are never recommended" if asked.mask else "are scored as all others",
            "Validation": dict(told),
        },
    )


def _facts(asked: Recommendation, items: Ids) -> dict[str, object]:
    liked = {"rating": asked.rating, "relevant_from": asked.relevant_from}
    return {"user": asked.user, "item": asked.item, **liked, "items": items.values.tolist()}


def _listed(path: Path, items: Ids) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["place", "item"])
        writer.writerows(enumerate(items.values.tolist()))
    return path
