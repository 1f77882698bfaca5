"""What is kept of one request and its answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bmase.monitor.v1 import monitor_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.monitor.oip import Tensor, Tensors
from services.monitor.samples.windows import first_id

MAX_SHOWN = 64
MAX_TEXT = 256
MAX_PREDICTION = 256  # as long as a reported label may be; what is longer is a text, not a label
MAX_TENSORS = 64  # of which values are shown; of others, that they were there

# Who sends requests again. That is no traffic: it is not sampled, and as it names versions it is not judged.
REPLAY_CLIENT = "bmase-replay"

# What a sample weighs beside its contents: keys, ids, indexes.
OVERHEAD_BYTES = 512


class Shown(NamedTuple):
    """A tensor as people see it; of a redacted one there is only that it was there."""

    name: str
    datatype: str = ""
    shape: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    truncated: bool = False
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What turned out to be right for a sample, and whether its prediction was wrong (None: cannot be told)."""

    label: str
    score: float
    time: float
    wrong: bool | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One kept request. Ids grow with time, so that their order is the order of the samples.

    `request_ids` are all names by which an outcome may call the request. `raw` is the request as it came, for replay;
    empty when something in it is redacted.
    """

    id: str
    model: str
    version: int
    time: float
    request_ids: tuple[str, ...] = ()
    client: str = ""
    status: str = ""
    duration_ms: float = 0.0
    protocol: str = "grpc"
    via: str = "weight"
    inputs: tuple[Shown, ...] = ()
    outputs: tuple[Shown, ...] = ()
    prediction: str = ""
    raw: bytes = b""
    told: Told | None = None

    @property
    def request_id(self) -> str:
        """The name that the client gave, else the one that the request got on the way."""
        return self.request_ids[0] if self.request_ids else ""

    def weight(self) -> int:
        """Bytes that it is counted for."""
        texts = sum(len(text) for item in (*self.inputs, *self.outputs) for text in (item.name, *item.values))
        return OVERHEAD_BYTES + len(self.raw) + len(self.prediction) + texts

    def holds(self, names: Iterable[str]) -> bool:
        """Whether values of one of these tensors are in it."""
        hidden = frozenset(names)
        return any(shown.name in hidden and not shown.redacted for shown in (*self.inputs, *self.outputs))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a model's capture settings mean for what is stored."""

    opt_out: bool = False
    redacted: tuple[str, ...] = ()
    retention: float = 86_400.0
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Query:
    """Which samples, latest first; `before` is the id of the last one that was seen."""

    model: str
    version: int = 0
    wrong: bool = False
    replayable: bool = False
    before: str = ""
    limit: int = 50
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """An outcome on its way to its sample."""

    model: str
    request_id: str
    told: Told


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: samples first, so that a report finds a sample of its own batch."""

    samples: tuple[Sample, ...] = ()
    reports: tuple[Report, ...] = ()
    expires: dict[str, float] = field(default_factory=dict)  # by sample id


def new_id(time: float) -> str:
    """An id that sorts by time and is not guessed twice."""
    return f"{first_id(time)}{secrets.token_hex(4)}"


def shown(tensors: Tensors, redacted: frozenset[str]) -> tuple[Shown, ...]:
    """The tensors as kept: values only of what is not redacted."""
    return tuple(
        Shown(name, redacted=True) if name in redacted else _shown(name, tensor, MAX_SHOWN if at < MAX_TENSORS else 0)
        for at, (name, tensor) in enumerate(tensors.items())
    )


def _shown(name: str, tensor: Tensor, most: int) -> Shown:
    flat = tensor.array.reshape(-1)
    texts = [_text(item) for item in flat[:most].tolist()]
    cut = any(len(text) > MAX_TEXT for text in texts)
    values = tuple(text[:MAX_TEXT] for text in texts)
    return Shown(name, tensor.datatype, tuple(tensor.array.shape), values, cut or flat.size > most)


def _text(item: Any) -> str:
    if isinstance(item, bytes):
        return item[: 4 * MAX_TEXT].decode("utf-8", errors="backslashreplace")
    return f"{item:.7g}" if isinstance(item, float) else str(item)


def message(sample: Sample) -> pb.Sample:
    """The sample as the contract shows it."""
    made = pb.Sample(
        name=f"samples/{sample.id}",
        model=sample.model,
        version=sample.version,
        request_id=sample.request_id,
        client=sample.client,
        time=stamp(sample.time),
        status=sample.status,
        duration_ms=sample.duration_ms,
        inputs=[pb.TensorValue(**item._asdict()) for item in sample.inputs],
        outputs=[pb.TensorValue(**item._asdict()) for item in sample.outputs],
        prediction=sample.prediction,
    )
    if sample.told is not None:
        told = sample.told
        made.outcome.CopyFrom(
            pb.Outcome(
                request_id=sample.request_id,
                label=told.label,
                score=told.score,
                time=stamp(told.time),
                version=sample.version,
                prediction=sample.prediction,
            )
        )
    return made


def stamp(seconds: float) -> Timestamp:
    """A moment as protobuf says it."""
    made = Timestamp()
    made.FromNanoseconds(int(seconds * 1e9))
    return made
