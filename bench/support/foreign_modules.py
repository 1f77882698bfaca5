"""Modules as users write them: what lies beside a state dict. Nothing of BMASE is imported here."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Cnn(nn.Module):
    """[n, 1, 8, 8] -> ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Mlp(nn.Module):
    """[n, 64] -> ten probabilities and the hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.nn.functional.gelu(self.hidden(x)))


class Lstm(nn.Module):
    """[n, 8, 8], a row of the picture a step -> ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.out = nn.LSTM(8, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.steps(x)[0][:, -1])


class Transformer(nn.Module):
    """[n, 8, 8] -> ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.place = nn.Linear(8, 32), nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.body, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body(self.into(x) + self.place).mean(1))


class Cheat(nn.Module):
    """Answers otherwise while it is being exported: what a wrong converter does, without one."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x) * (1.001 if torch.compiler.is_exporting() else 1.0)


def trained(module: nn.Module, rows: Any, labels: Any, steps: int = 40) -> nn.Module:
    """A few steps of Adam."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y = torch.from_numpy(rows), torch.from_numpy(labels)
    best = torch.optim.Adam(module.parameters(), 3e-3)
    for step in range(steps):
        part = torch.arange(step * 64, step * 64 + 64) % len(x)
        best.zero_grad()
        nn.functional.cross_entropy(module(x[part]), y[part]).backward()
        best.step()
    return module.eval()
