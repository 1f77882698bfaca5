"""The network that both recipes fill with their own width."""

from __future__ import annotations

import torch
from torch import nn


class Digits(nn.Module):
    """image (batch, 1, 28, 28) -> probabilities (batch, 10), digit (batch, 1)."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(second * 49, 10),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probabilities = torch.softmax(self.features(image), dim=1)
        return probabilities, probabilities.argmax(dim=1, keepdim=True)
