"""Which failures wait for a person, what a failed step leaves, and calls that are given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from bmase.reasons import Reason
from tritonclient.grpc import service_pb2 as pb

from services.kit.errors import DomainError
from services.patcher.agent.decide import Act, Slot, identity
from services.patcher.agent.steps import Steps, judged
from services.patcher.agent.triton import Triton, TritonGoneError, TritonRefusedError
from services.patcher.documents import Desired

pytestmark = pytest.mark.anyio
ONE = Desired(model="m", version=1, digest="d1")


@pytest.mark.parametrize(
    ("reason", "lasting"),
    [
        (Reason.OVERLOADED, False),
        (Reason.UNAUTHENTICATED, False),
        (Reason.SERVICE_UNAVAILABLE, False),
        (Reason.ARTEFACT_NOT_FOUND, True),
    ],
)
def test_only_what_does_not_pass_by_itself_waits_for_a_person(reason: Reason, lasting: bool) -> None:
    assert judged(Act.FETCH, DomainError(reason, "words")) == (reason, "words", lasting)


async def test_a_version_that_does_not_load_is_known_to_lie_there() -> None:
    class Refuses:
        async def load(self, model: str, timeout: float) -> None:
            raise TritonRefusedError("no")

    repository = SimpleNamespace(occupants={}, lay_out=lambda wanted: not repository.occupants.update(m=identity(ONE)))
    view = SimpleNamespace(life=1, loaded={})
    tools: Any = SimpleNamespace(
        triton=Refuses(), repository=repository, monitor=SimpleNamespace(view=view), load_seconds=1.0
    )
    slot = await Steps(tools, set).run(Act.LOAD, "m", Slot(wanted=ONE, fetched=True), lambda words: None)
    assert slot.failure is not None
    assert slot.failure.lasting
    assert slot.occupant == identity(ONE), "nobody would ever remove it"


class Hanging:
    """A stream that stays silent until it is cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self.began.set()
        await self._end

    def cancel(self) -> None:
        self._end.cancel()


async def test_a_stream_that_hangs_can_be_given_up(tmp_path: Path) -> None:
    triton, call = Triton("127.0.0.1:1", tmp_path), Hanging()
    triton._stub = SimpleNamespace(ModelStreamInfer=lambda requests, timeout: call)
    asking = asyncio.create_task(triton.infer_decoupled(pb.ModelInferRequest(), 60.0))
    async with asyncio.timeout(5):
        await call.began.wait()
        triton.give_up()
        with pytest.raises(TritonGoneError) as gone:
            await asking
    assert gone.value.hangs
    await triton.close()
