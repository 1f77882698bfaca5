"""The tensors that a version takes and gives, and the rules between a signature that is given and one that was read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.kit.errors import Violation

DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
)  # fmt: skip

# Bytes of an element in raw form; BYTES elements carry their own length.
ITEM_BYTES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip


# A signature is kept with its version and answered with it, wherever it was read.
MAX_TENSORS, MAX_NAME, MAX_RANK = 1000, 255, 16


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; a dimension is -1 when any length goes, the shape is None when even the rank is open."""

    name: str
    datatype: str
    shape: tuple[int, ...] | None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs in the order of the model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def known(self) -> bool:
        """Whether every shape is known."""
        return all(tensor.shape is not None for tensor in (*self.inputs, *self.outputs))


def excess(signature: Signature) -> str:
    """What makes a signature too large to be kept; empty when nothing does."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if len(tensors) > MAX_TENSORS:
            return f"it has {len(tensors)} {side}, more than {MAX_TENSORS}"
        for tensor in tensors:
            if not 0 < len(tensor.name) <= MAX_NAME:
                return f"among its {side} is a name of {len(tensor.name)} characters, not 1 to {MAX_NAME}"
            if len(tensor.shape or ()) > MAX_RANK:
                return f"{tensor.name!r} has {len(tensor.shape or ())} dimensions, more than {MAX_RANK}"
    return ""


def for_clients(file: Signature, batched: bool) -> Signature:
    """What a client sends and gets per item, from the shapes in a model file.

    The batch dimension goes, and as the inference protocol has no scalars, they travel as tensors of one element.
    """
    skipped = 1 if batched else 0

    def one(tensor: Tensor) -> Tensor:
        return tensor if tensor.shape is None else replace(tensor, shape=tensor.shape[skipped:] or (1,))

    return Signature(tuple(map(one, file.inputs)), tuple(map(one, file.outputs)))


def batched_scalars(file: Signature) -> frozenset[str]:
    """Names of the tensors of a batched model that hold one number an item."""
    return frozenset(t.name for t in (*file.inputs, *file.outputs) if t.shape is not None and len(t.shape) == 1)


def disagreements(given: Signature, read: Signature, field: str) -> list[Violation]:
    """Where a given signature contradicts the file's; saying more than the file (a length instead of -1) is allowed."""
    return [
        *_side(given.inputs, read.inputs, f"{field}.inputs"),
        *_side(given.outputs, read.outputs, f"{field}.outputs"),
    ]


def _side(given: tuple[Tensor, ...], read: tuple[Tensor, ...], field: str) -> list[Violation]:
    theirs = {tensor.name: tensor for tensor in read}
    found = [
        violation
        for index, tensor in enumerate(given)
        for violation in _one(tensor, theirs.get(tensor.name), f"{field}[{index}]")
    ]
    missing = sorted(theirs.keys() - {tensor.name for tensor in given})
    if missing:
        found.append(Violation(field, f"the model file also has {', '.join(map(repr, missing))}"))
    return found


def _one(given: Tensor, read: Tensor | None, field: str) -> list[Violation]:
    if read is None:
        return [Violation(f"{field}.name", f"the model file has no tensor {given.name!r}")]
    if given.datatype != read.datatype:
        return [Violation(f"{field}.datatype", f"is {given.datatype} but the model file says {read.datatype}")]
    if read.shape is not None and not _fits(given.shape or (), read.shape):
        return [Violation(f"{field}.shape", f"is {list(given.shape or ())} but the model file says {list(read.shape)}")]
    return []


def _fits(given: tuple[int, ...], read: tuple[int, ...]) -> bool:
    return len(given) == len(read) and all(theirs in (-1, ours) for ours, theirs in zip(given, read, strict=True))
