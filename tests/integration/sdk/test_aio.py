"""The asyncio client against a real registry."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bmase import aio
from bmase.errors import Cancelled, NotFound, Unavailable
from bmase.progress import Phase, Progress
from bmase.registry.v1 import registry_pb2 as pb

from tests.support.onnx_models import affine
from tests.support.ports import free_port
from tests.support.registry import Registry
from tests.support.relay import Relay

pytestmark = pytest.mark.anyio
MB = 1_000_000
CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
"""


@pytest.fixture
async def client(shared_registry: Registry) -> AsyncIterator[aio.Client]:
    """An asyncio client of the shared registry."""
    async with aio.Client(shared_registry.address) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A model that no other test knows."""
    return f"a-{uuid.uuid4().hex[:12]}"


async def test_push_get_list_pull(client: aio.Client, name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(affine(3.0).SerializeToString())
    made = await client.push(name, file, alias="stable")
    assert (await client.versions.get(name, "stable")).digest == made.digest
    assert [v.number async for v in client.versions.list(name)] == [1]
    got = await client.pull(name, None, tmp_path / "out")
    assert (tmp_path / "out" / str(got.number) / "model.onnx").read_bytes() == file.read_bytes()


async def test_a_push_that_was_not_finished_is_finished_by_the_same_call(
    client: aio.Client, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(affine(4.0).SerializeToString())
    made = await client.push(name, file)
    seen: list[pb.Version] = []
    assert (await client.push(name, file, alias="stable", existing=seen.append)).name == made.name
    assert [version.name for version in seen] == [made.name]
    assert (await client.models.get(name)).aliases == {"stable": 1}


async def test_errors_are_the_same_as_of_the_blocking_client(client: aio.Client, name: str) -> None:
    with pytest.raises(NotFound) as failed:
        await client.models.get(name)
    assert failed.value.reason == "MODEL_NOT_FOUND"
    async with aio.Client(f"127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(Unavailable):
            await nobody.models.get(name)


async def test_many_calls_at_once(client: aio.Client, name: str) -> None:
    await asyncio.gather(*(client.models.create(f"{name}-{i}", labels={"of": name}) for i in range(40)))
    found = [m async for m in client.models.list(f'labels.of="{name}"', page_size=7)]
    assert len(found) == 40


async def test_a_watch_goes_on_over_a_broken_link(shared_registry: Registry, name: str) -> None:
    with Relay(shared_registry.port) as relay:
        async with aio.Client(relay.address) as client:
            events = client.models.watch()
            async for event in events:
                if event.kind == pb.WatchModelsResponse.KIND_SYNCED:
                    break
            relay.cut()
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.5)
            await client.models.create(name)
            assert (await asyncio.wait_for(waiting, 10)).model.name == f"models/{name}"


async def test_a_cancelled_task_stops_its_transfer(client: aio.Client, name: str, tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(150 * MB))
    seen: list[Progress] = []
    under_way = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen(progress: Progress) -> None:
        seen.append(progress)
        if progress.phase == Phase.UPLOAD and progress.done > 20 * MB:
            loop.call_soon_threadsafe(under_way.set)

    pushing = asyncio.create_task(client.push(name, file, progress=listen))
    await asyncio.wait_for(under_way.wait(), 30)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(pushing, 10)
    count = len(seen)
    await asyncio.sleep(0.3)
    assert len(seen) == count
    assert seen[-1].done < 150 * MB


async def test_the_event_loop_runs_while_files_move(client: aio.Client, name: str, tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(60 * MB))
    (tmp_path / "config.pbtxt").write_text(CONFIG)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    await client.push(name, [file, tmp_path / "config.pbtxt"])
    ticking.cancel()
    assert ticks > 3


async def test_calls_after_closing_say_so(shared_registry: Registry) -> None:
    client = aio.Client(shared_registry.address)
    await client.close()
    with pytest.raises(Cancelled, match="closed"):
        await client.models.get("m")
