"""Samples: a request and the answer that is right for it, which agents try on a version before it serves."""

from __future__ import annotations

import math

from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf.message import DecodeError

from services.kit.errors import InvalidArgument, Violation
from services.registry.signature import ITEM_BYTES, Signature, Tensor

MAX_SAMPLES = 8
MAX_SAMPLE_BYTES = 3 * 1024 * 1024


def parsed(raw: bytes, field: str) -> pb.Sample:
    """A sample that came as a file."""
    try:
        return pb.Sample.FromString(raw)
    except DecodeError:
        raise InvalidArgument([Violation(field, "is no serialised bmase.registry.v1.Sample")]) from None


def check(sample: pb.Sample, signature: Signature, max_batch_size: int, field: str) -> None:
    """Raises InvalidArgument where the sample is not a request to, or an answer of, a model with this signature."""
    found = [
        *_tolerances(sample, field),
        *_side(sample.inputs, signature.inputs, max_batch_size, f"{field}.inputs", complete=True),
        *_side(sample.outputs, signature.outputs, max_batch_size, f"{field}.outputs", complete=False),
    ]
    if found:
        raise InvalidArgument(found)


def _tolerances(sample: pb.Sample, field: str) -> list[Violation]:
    return [
        Violation(f"{field}.{name}", "must be a number from 0 on")
        for name in ("absolute_tolerance", "relative_tolerance")
        if not (math.isfinite(getattr(sample, name)) and getattr(sample, name) >= 0)
    ]


def _side(
    values: object, tensors: tuple[Tensor, ...], max_batch_size: int, field: str, *, complete: bool
) -> list[Violation]:
    named = {tensor.name: tensor for tensor in tensors}
    given = list(values)  # type: ignore[call-overload]
    names = [value.name for value in given]
    found = [
        Violation(f"{field}[{index}].{part}", text)
        for index, value in enumerate(given)
        for part, text in _value(value, named.get(value.name), max_batch_size)
    ]
    if len(set(names)) != len(names):
        found.append(Violation(field, "must not name a tensor twice"))
    missing = {tensor.name for tensor in tensors if not tensor.optional} - set(names)
    if complete and missing:
        found.append(Violation(field, f"lacks {', '.join(map(repr, sorted(missing)))}"))
    return found


def _value(value: pb.TensorValue, tensor: Tensor | None, max_batch_size: int) -> list[tuple[str, str]]:
    if tensor is None:
        return [("name", f"the signature has no {value.name!r}")]
    if value.datatype != tensor.datatype:
        return [("datatype", f"is {value.datatype!r} but the signature says {tensor.datatype}")]
    shape = list(value.shape)
    batched = max_batch_size > 0
    wanted = ([-1] if batched else []) + list(tensor.shape or ())
    if len(shape) != len(wanted) or any(w not in (-1, s) or s < 0 for s, w in zip(shape, wanted, strict=True)):
        return [("shape", f"is {shape} but the signature says {wanted}")]
    if batched and not 1 <= shape[0] <= max_batch_size:
        return [("shape", f"has a batch of {shape[0]}, outside 1 to {max_batch_size}")]
    item = ITEM_BYTES.get(value.datatype)
    if item is not None and len(value.data) != item * math.prod(shape):
        return [("data", f"has {len(value.data)} bytes but {shape} of {value.datatype} are {item * math.prod(shape)}")]
    return []
