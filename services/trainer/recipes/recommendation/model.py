"""Matrix factorisation: a vector and a bias for each user and item, and the graph that is served."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MASKED = -1e9  # the score of what is not to be recommended: below all others, and finite


class Factors(nn.Module):
    """score(user, item) = mean + bias of the item + bias of the user + user's vector * item's vector.

    User 0 is everyone who is not known: its vector and its bias are 0 and stay so.
    """

    def __init__(self, users: int, items: int, dimensions: int, dropout: float, mean: float) -> None:
        super().__init__()
        self.mean = mean
        self.dropout = nn.Dropout(dropout)
        self.users = nn.Embedding(users, dimensions, padding_idx=0)
        self.items = nn.Embedding(items, dimensions)
        self.user_bias = nn.Embedding(users, 1, padding_idx=0)
        self.item_bias = nn.Embedding(items, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=dimensions**-0.5 / 2)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)
        with torch.no_grad():
            self.users.weight[0] = 0

    def forward(self, users: Tensor, items: Tensor | None = None) -> Tensor:
        """Of users (n,): scores of all items (n, items), or of `items` (n, k) -> (n, k)."""
        vectors, bias = self.dropout(self.users(users)), self.user_bias(users) + self.mean
        if items is None:
            return vectors @ self.items.weight.T + self.item_bias.weight.T + bias
        return (self.items(items) @ vectors.unsqueeze(-1) + self.item_bias(items)).squeeze(-1) + bias


class Served(nn.Module):
    """Numbers of users (n, 1) -> scores (n, items), far below all others where the user had the item."""

    def __init__(self, factors: Factors, had: Tensor | None) -> None:
        super().__init__()
        self.factors = factors
        self.register_buffer("had", had)

    def forward(self, user: Tensor) -> Tensor:
        users = user[:, 0]  # a dimension beside the batch's: Triton batches requests that have one
        scores = self.factors(users)
        return scores if self.had is None else torch.where(self.get_buffer("had")[users], MASKED, scores)
