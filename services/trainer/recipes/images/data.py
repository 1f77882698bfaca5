"""What has to be known of the pictures before the network is made: shape, classes, counts, brightness."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bmase.training import Column, Run

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.images.recipe import Images
from services.trainer.recipes.labels import Labels, labels

MEASURED_BATCHES = 256  # of 256 pictures, for mean and deviation


@dataclass(frozen=True)
class Pictures:
    """`given`: one row of the column. `shape`: (height, width, channels). mean, deviation: (channels,), float64."""

    given: tuple[int, ...]
    shape: tuple[int, int, int]
    labels: Labels
    mean: np.ndarray
    deviation: np.ndarray


def look(run: Run, parameters: Images) -> Pictures:
    """Reads all labels and the training pictures once, in every worker. InvalidArgument says what does not fit."""
    columns = {column.name: column for column in run.source().columns}
    column = _column(columns, parameters.image)
    _column(columns, parameters.label)
    shape = picture_shape(column.shape, parameters.shape)
    found = labels(run, parameters.label)
    return Pictures(column.shape, shape, found, *_brightness(run, parameters.image, shape[2]))


def _column(columns: dict[str, Column], name: str) -> Column:
    if name not in columns:
        raise InvalidArgument([Violation("job.data", f"there is no column {name}; there are: {', '.join(columns)}")])
    return columns[name]


def picture_shape(given: Sequence[int], asked: Sequence[int]) -> tuple[int, int, int]:
    """(height, width, channels) of what a row has; InvalidArgument where that cannot be."""
    shape = tuple(asked) or tuple(given)
    if len(shape) not in (2, 3):
        advice = 'name height, width and channels by "shape"' if len(shape) == 1 else "it has to be an array of pixels"
        raise _refuse(f"one row has the shape {tuple(given)}, which is no picture: {advice}")
    if math.prod(shape) != math.prod(given):
        raise _refuse(f"one row has {math.prod(given)} values, not the {math.prod(shape)} of a picture of {shape}")
    height, width, channels = (*shape, 1)[:3]
    if min(height, width) < 2 or channels > 64:
        raise _refuse(f"{shape} is not height, width and channels (64 at most)")
    return height, width, channels


def _brightness(run: Run, image: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over training rows."""
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for batch in itertools.islice(run.rows(columns=[image], batch=256, shard=False), MEASURED_BATCHES):
        values = np.asarray(batch[image], np.float64).reshape(-1, channels)
        if not np.isfinite(values).all():
            raise _refuse("a picture has values that are not finite")
        count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
    mean = total / max(1, count)
    deviation = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 0))
    return mean, np.where(deviation > 1e-12, deviation, 1.0)


def _refuse(text: str) -> InvalidArgument:
    return InvalidArgument([Violation("job.data", text)])
