"""A replay that breaks off has said something all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb

from services.patcher.releases.monitor import Monitor
from services.patcher.releases.observation import Shadowed

pytestmark = pytest.mark.anyio
OVER = grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata(), "too late")


async def replayed(*said: pb.ReplaySamplesResponse, error: Exception | None = None) -> Shadowed:
    class Stub:
        async def ReplaySamples(self, *_: Any, **__: Any) -> AsyncIterator[pb.ReplaySamplesResponse]:
            for message in said:
                yield message
            if error is not None:
                raise error

    monitor = Monitor.__new__(Monitor)
    monitor._stub = Stub()  # type: ignore[assignment]
    return await monitor.replay("digits", 1, 2, 200)


async def test_what_was_counted_before_the_end_of_time_counts() -> None:
    found = await replayed(pb.ReplaySamplesResponse(done=60, total=200, candidate_failed=59), error=OVER)
    assert (found.skipped, found.total, found.failed) == ("", 60, 59)
    assert "broke off" in found.message


async def test_a_replay_that_came_to_nothing_is_left_out() -> None:
    assert (await replayed(error=OVER)).skipped == "NO_MONITOR"
    assert (await replayed(pb.ReplaySamplesResponse(total=200), error=OVER)).skipped == "NO_MONITOR"


async def test_one_that_ends_is_as_it_says() -> None:
    found = await replayed(pb.ReplaySamplesResponse(done=200, total=200, disagreed=3))
    assert (found.total, found.disagreed, found.message) == (200, 3, "")
