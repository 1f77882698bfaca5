"""The network: pictures as they are in their column, to logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST = 8  # the side below which a picture is not halved again


class Network(nn.Module):
    """Blocks of two convolutions, each block halves the picture and doubles the channels; then one linear layer.

    Normalisation is by groups of channels and not by batches: it does not depend on how many workers share a batch.
    The network takes pictures in the unit that their column has: `mean` and `deviation` of the training rows are in it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        *,
        width: int,
        blocks: int,
        dropout: float,
        mean: Tensor,
        deviation: Tensor,
    ) -> None:
        """`shape`: (height, width, channels); `mean` and `deviation`: (channels,)."""
        super().__init__()
        height, across, channels = shape
        self.shape = tuple(shape)
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", deviation.float())
        count = blocks or halvings(min(height, across))
        sizes = [channels, *(width * 2**place for place in range(count))]
        self.blocks = nn.ModuleList(_block(*pair) for pair in itertools.pairwise(sizes))
        for _ in range(min(count, int(math.log2(min(height, across))))):
            height, across = height // 2, across // 2
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(sizes[-1] * height * across, classes)

    def forward(self, image: Tensor) -> Tensor:
        """(n, height, width[, channels]) or (n, anything of that size), float32 -> logits (n, classes)."""
        pictures = image.reshape(-1, *self.shape)
        values = ((pictures - self.mean) / self.deviation).permute(0, 3, 1, 2)
        for block in self.blocks:
            values = block(values)
            if min(values.shape[2:]) > 1:
                values = functional.max_pool2d(values, 2)
        return self.last(self.dropout(values.flatten(1)))


class Served(nn.Module):
    """What is served: probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(image), dim=1)


def halvings(side: int) -> int:
    """How often a picture is halved until its side is below SMALLEST; once at least."""
    return max(1, math.ceil(math.log2((side + 1) / SMALLEST)))


def _block(channels: int, wider: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, wider, 3, padding=1, bias=False),
        nn.GroupNorm(4, wider),
        nn.ReLU(),
        nn.Conv2d(wider, wider, 3, padding=1, bias=False),
        nn.GroupNorm(4, wider),
        nn.ReLU(),
    )


def moved(pictures: Tensor, shift: int, flip: bool) -> Tensor:
    """Pictures (n, height, width, channels), each moved by up to `shift` pixels and mirrored or not, at random.

    What comes in from outside is as the edge is.
    """
    count, height, width = pictures.shape[:3]
    rows, columns = _places(count, height, shift), _places(count, width, shift)
    if flip:
        columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    return pictures[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _places(count: int, length: int, shift: int) -> Tensor:
    """(n, length): which row or column is seen where."""
    by = torch.randint(-shift, shift + 1, (count, 1))
    return (torch.arange(length)[None] + by).clamp(0, length - 1)
