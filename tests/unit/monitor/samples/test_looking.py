"""What is kept of a pair: nothing that is redacted, nothing of a model that opted out, nothing that cannot be read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.monitor.captures import CaptureSettings
from services.monitor.oip import Malformed
from services.monitor.samples.looking import Looked, Looking, look
from services.monitor.samples.model import Sample, message
from tests.support.inference import digit, pair, request

pytestmark = pytest.mark.anyio

SECRET = "patient-4711"
INPUTS = {"image": np.arange(4, dtype=np.float32).reshape(1, 4), "patient": np.array([[SECRET]], object)}
OPEN = CaptureSettings()
HIDDEN = CaptureSettings(redacted=("patient",))


def sampled(**more: Any) -> Any:
    return pair(INPUTS, {"probabilities": digit(7)}, **more)


def test_a_sample_says_what_was_asked_and_answered() -> None:
    made = message(look(sampled(request_id="r-1"), OPEN).sample)
    assert (made.model, made.version, made.request_id, made.prediction) == ("digits", 1, "r-1", "7")
    assert [tensor.name for tensor in made.inputs] == ["image", "patient"]
    assert list(made.inputs[0].values) == ["0", "1", "2", "3"]
    assert list(made.inputs[0].shape) == [1, 4]
    assert list(made.inputs[1].values) == [SECRET]


def test_a_redacted_tensor_is_nowhere() -> None:
    looked = look(sampled(), HIDDEN)
    assert SECRET not in repr(looked)
    assert SECRET.encode() not in looked.sample.raw
    assert "patient" not in looked.inputs
    shown = {tensor.name: tensor for tensor in message(looked.sample).inputs}
    assert shown["patient"].redacted
    assert not shown["patient"].values
    assert list(shown["image"].values)


def test_a_redacted_output_gives_no_label_and_leaves_the_request_whole() -> None:
    looked = look(sampled(), CaptureSettings(redacted=("probabilities",), label_output="probabilities"))
    assert looked.sample.prediction == ""
    assert looked.outputs == {}
    assert looked.sample.raw


@pytest.mark.parametrize(("length", "kept"), [(256, 256), (257, 0), (1_000_000, 0)])
def test_a_long_answer_is_no_label(length: int, kept: int) -> None:
    answer = {"text": np.array([[b"x" * length]], object)}
    sample = look(pair(INPUTS, answer), OPEN).sample
    assert len(sample.prediction) == kept
    assert replace(sample, prediction="").weight() == sample.weight() - kept


def test_only_whole_answered_requests_outside_sequences_are_kept_for_replay() -> None:
    assert look(sampled(), OPEN).sample.raw == request(INPUTS)
    assert look(sampled(status="INTERNAL", response=b""), OPEN).sample.raw == b""
    assert look(sampled(request=request(INPUTS, sequence_id=4)), OPEN).sample.raw == b""


def test_both_names_of_a_request_are_known() -> None:
    named = sampled(request_id="header", request=request(INPUTS, id="own"))
    assert look(named, OPEN).sample.request_ids == ("own", "header")
    assert look(replace(named, request_id="x" * 300), OPEN).sample.request_ids == ("own",)


def test_much_is_cut_for_people_and_said_so() -> None:
    wide = pair({"x": np.zeros((1, 1000), np.float32)}, {})
    shown = message(look(wide, OPEN).sample).inputs[0]
    assert len(shown.values) == 64
    assert shown.truncated
    many = pair({f"x{n}": np.zeros((1, 10), np.float32) for n in range(200)}, {})
    assert message(look(many, OPEN).sample).ByteSize() < 100_000


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(Malformed):
        look(sampled(request=b"\x00\x01\x02"), OPEN)


class Room:
    """A `Looking` and what came out of it."""

    def __init__(self, settings: Callable[[str], CaptureSettings], **bounds: int) -> None:
        self.samples: list[Sample] = []
        self.seen: list[Looked] = []
        self.looking = Looking(settings, self.samples.append, self.seen.append, **bounds)


@asynccontextmanager
async def running(room: Room) -> AsyncIterator[Looking]:
    task = asyncio.create_task(room.looking.run())
    yield room.looking
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_pairs_become_samples_in_order() -> None:
    room = Room(lambda model: OPEN)
    async with running(room) as looking:
        for number in range(100):
            looking.pair(sampled(request_id=f"r-{number}"))
        await looking.looked()
    assert [sample.request_id for sample in room.samples] == [f"r-{n}" for n in range(100)]
    assert len(room.seen) == 100
    assert looking.sampled["digits"] == 100


async def test_what_opted_out_is_not_looked_at() -> None:
    room = Room(lambda model: CaptureSettings(opt_out=model == "private"))
    async with running(room) as looking:
        looking.pair(sampled(model="private"))
        looking.pair(sampled())
        await looking.looked()
    assert [sample.model for sample in room.samples] == ["digits"]
    assert looking.sampled["private"] == 0


async def test_what_was_only_sent_again_is_no_traffic() -> None:
    room = Room(lambda model: OPEN)
    async with running(room) as looking:
        looking.pair(sampled(client="bmase-replay"))
        await looking.looked()
    assert room.samples == []
    assert looking.sampled["digits"] == 0


async def test_an_opt_out_holds_for_what_waits_already() -> None:
    settings = [OPEN]
    room = Room(lambda model: settings[0])
    room.looking.pair(sampled())
    settings[0] = CaptureSettings(opt_out=True)
    async with running(room) as looking:
        await looking.looked()
    assert room.samples == []


async def test_what_cannot_be_read_is_counted_and_stops_nothing() -> None:
    room = Room(lambda model: OPEN)
    async with running(room) as looking:
        looking.pair(sampled(request=b"\x00\x01\x02"))
        looking.pair(sampled(response=b"\xff"))
        looking.pair(sampled())
        await looking.looked()
    assert looking.refused["digits"] == 2
    assert len(room.samples) == 1


async def test_a_defect_behind_it_costs_a_pair_and_nothing_else() -> None:
    def fail(looked: Looked) -> None:
        raise RuntimeError("a defect")

    room = Room(lambda model: OPEN)
    room.looking = Looking(lambda model: OPEN, room.samples.append, fail)
    async with running(room) as looking:
        looking.pair(sampled())
        looking.pair(sampled())
        await looking.looked()
    assert len(room.samples) == 2
    assert looking.refused["digits"] == 2


@pytest.mark.parametrize("bounds", [{"max_pairs": 10}, {"max_bytes": 10 * sampled().size}])
async def test_a_flood_is_dropped_and_counted(bounds: dict[str, int]) -> None:
    room = Room(lambda model: OPEN, **bounds)
    for _ in range(50):
        room.looking.pair(sampled(request_id="0123456789"))
    assert 0 < room.looking.queued <= 11
    async with running(room) as looking:
        await looking.looked()
        assert looking.dropped["digits"] == 50 - len(room.samples) > 0
        looking.pair(sampled())
        await looking.looked()
    assert looking.sampled["digits"] == 51
