from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from infra.runtime.layout import CHECKOUT
from services.kit.consul import Consul
from services.patcher.documents import Step
from tests.integration.patcher.bench import NodeBench, affine_files
from tests.integration.patcher.bytes_registry import BytesRegistry
from tests.support.consul import Consul as ConsulServer
from tests.support.process import Process

pytestmark = pytest.mark.anyio


async def test_loads_proves_serves_and_unloads(node: NodeBench, registry: BytesRegistry) -> None:
    await node.desire(registry.version("digits", 3, affine_files(2, 1)))
    status = await node.reaches("digits", Step.READY, 3)
    assert await node.answer("digits", 3) == [3.0] * 4
    assert node.preloaded() == ["digits"]
    assert (status.reason, status.message) == ("", "")
    await node.desire()
    await node.leaves("digits")
    assert node.preloaded() == []
    with pytest.raises(InferenceServerException, match="unknown model"):
        await node.answer("digits")
    assert not (node.triton.repository / "digits").exists()


async def test_a_killed_triton_is_back_with_its_models(node: NodeBench, registry: BytesRegistry) -> None:
    await node.desire(registry.version("a", 1, affine_files(2, 0)), registry.version("b", 7, affine_files(3, 0)))
    for model in ("a", "b"):
        await node.reaches(model, Step.READY)
    began = time.monotonic()
    node.triton.process.kill()
    await node.reaches("a", Step.LOST, timeout=10)
    await node.usable(False)
    node.triton.process.start()
    for model in ("a", "b"):
        await node.reaches(model, Step.READY)
    took = time.monotonic() - began
    assert (await node.answer("a"), await node.answer("b")) == ([2.0] * 4, [3.0] * 4)
    print(f"killed to ready: {took:.1f} s")
    assert took < 15


async def test_one_version_gives_way_to_the_other(node: NodeBench, registry: BytesRegistry) -> None:
    await node.desire(registry.version("digits", 1, affine_files(1, 0)))
    await node.reaches("digits", Step.READY, 1)
    both: list[set[str]] = []
    watching = asyncio.create_task(_watch_versions(node, both))
    await node.desire(registry.version("digits", 2, affine_files(5, 0)))
    await node.reaches("digits", Step.READY, 2)
    watching.cancel()
    assert await node.answer("digits", 2) == [5.0] * 4
    assert both
    assert all(len(versions) <= 1 for versions in both), "two versions of one model were loaded together"


async def _watch_versions(node: NodeBench, seen: list[set[str]]) -> None:
    while True:
        with node.triton.client() as client:
            index = await asyncio.to_thread(client.get_model_repository_index)
        seen.append({m.version for m in index.models if m.name == "digits" and m.state == "READY"})
        await asyncio.sleep(0.02)


async def test_a_second_agent_on_the_same_folder_does_not_start(node: NodeBench) -> None:
    second = Process(node.agent.command, node.folder / "second.log", env=node.settings, cwd=CHECKOUT)
    second.start()
    while second.alive:
        await asyncio.sleep(0.05)
    assert second.returncode == 1
    assert "another agent uses" in second.tail()


async def test_a_model_leaves_a_node_whose_triton_is_gone(node: NodeBench, registry: BytesRegistry) -> None:
    await node.desire(registry.version("digits", 1, affine_files(1, 0)))
    await node.reaches("digits", Step.READY)
    node.triton.process.kill()
    await node.reaches("digits", Step.LOST, timeout=10)
    await node.desire()
    await node.leaves("digits")
    assert node.preloaded() == []
    assert not (node.triton.repository / "digits").exists()


async def test_serves_from_a_repository_on_another_disk(
    consul: Consul, consul_server: ConsulServer, registry: BytesRegistry, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:  # a file system of its own on Linux
        repository = Path(elsewhere) / "repository"
        node = NodeBench(tmp_path, consul, consul_server.url, name="apart", repository=repository)
        try:
            await node.start()
            await node.desire(registry.version("digits", 3, affine_files(2, 1)))
            await node.reaches("digits", Step.READY, 3)
            assert await node.answer("digits", 3) == [3.0] * 4
            with node.triton.client() as client:
                loaded = {model.name for model in client.get_model_repository_index().models if model.state == "READY"}
            assert loaded == {"digits"}, "where versions are put together is no model"
        finally:
            await node.stop()
