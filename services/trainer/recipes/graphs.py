"""A torch module as one ONNX graph whose inputs and outputs have names, and dimensions that are free."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import torch
from bmase.reasons import Reason
from torch import nn

from services.kit.errors import DomainError
from services.trainer.recipes.export import OPSET, bare

MOST_BYTES = 2**31 - 2**20  # of one protobuf message
_NOISY = ("torch.onnx", "torch.onnx._internal.exporter._registration")


def graph_of(
    model: nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> onnx.ModelProto:
    """The module's `forward`, whose arguments are named as in `example`; `axes`: input -> dimension -> its name.

    Dimensions that are named take any size from 1 on; the others have that of the example. DomainError as `check_size`.
    """
    check_size(model)
    free = {name: {at: torch.export.Dim(axis) for at, axis in axes[name].items()} for name in example}
    with _quiet():
        program = torch.onnx.export(
            model.eval().cpu(),
            kwargs=dict(example),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=free,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bare(program.model_proto)


def check_size(model: nn.Module) -> None:
    """INVALID_MODEL_FILE when the weights do not fit into one file: known before a training as well as after it."""
    size = sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
    if size > MOST_BYTES:
        words = f"the model has {size >> 20} MiB of weights, and one ONNX file takes at most {MOST_BYTES >> 20}"
        raise DomainError(Reason.INVALID_MODEL_FILE, words, hint="train a smaller one")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of operators of packages that are not installed, and of its own deprecations."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for each in loggers:
                each.setLevel(logging.ERROR)
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
