"""What a node survives: killed, hung, cut off, lied to, filled up; with another model live, which must not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as tc
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.patcher.documents import Desired, DesiredFile, Step, desired_prefix
from tests.integration.patcher.bench import NodeBench, affine_files, affine_sample, eventually
from tests.integration.patcher.bytes_registry import CHUNK, BytesRegistry
from tests.support import onnx_models
from tests.support.consul import Consul as ConsulServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def live(node: NodeBench, registry: BytesRegistry) -> Desired:
    """A model that is served while things go wrong around it."""
    model = registry.version("live", 1, affine_files(4, 0))
    await node.desire(model)
    await node.reaches("live", Step.READY)
    return model


async def test_a_download_survives_the_agent(node: NodeBench, registry: BytesRegistry, live: Desired) -> None:
    ballast = os.urandom(40 * CHUNK)
    big = registry.version("big", 1, {**affine_files(2, 0), "ballast.bin": ballast})
    registry.pause = 0.05
    await node.desire(live, big)
    partial = node.data / "store" / "partial" / registry.add(ballast).removeprefix("sha256:")

    async def some_arrived() -> bool:
        return partial.exists() and partial.stat().st_size > 4 * CHUNK

    await eventually(some_arrived, "part of the file")
    node.agent.kill()
    kept = partial.stat().st_size
    registry.pause = 0.0
    registry.reads.clear()
    node.agent.start()
    await node.reaches("big", Step.READY)
    offsets = [offset for digest, offset in registry.reads if digest == registry.add(ballast)]
    assert offsets == [kept]
    assert await node.answer("live") == [4.0] * 4


async def test_a_broken_stream_goes_on_where_it_broke(node: NodeBench, registry: BytesRegistry) -> None:
    ballast = os.urandom(10 * CHUNK)
    registry.reads.clear()
    registry.break_after = 6 * CHUNK
    await node.desire(registry.version("big", 1, {"ballast.bin": ballast, **affine_files(2, 0)}))
    await node.reaches("big", Step.READY)
    offsets = [offset for digest, offset in registry.reads if digest == registry.add(ballast)]
    assert offsets[0] == 0
    assert offsets[-1] == 6 * CHUNK


async def test_a_hung_triton_is_lost_and_recovers(node: NodeBench, live: Desired) -> None:
    node.triton.process.suspend()
    status = await node.reaches("live", Step.LOST, timeout=10)
    assert status.reason == Reason.SERVICE_UNAVAILABLE
    await node.usable(False)
    node.triton.process.resume()
    await node.reaches("live", Step.READY)
    assert await node.answer("live") == [4.0] * 4


async def test_a_load_that_hangs_is_given_up_and_repeated(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    files = affine_files(2, 0)
    files["model.onnx"] = onnx_models.slow(1).SerializeToString()
    del files["warm.sample"]
    await node.desire(live, registry.version("other", 1, files))
    await node.reaches("other", Step.LOADING)
    node.triton.process.suspend()
    await node.reaches("other", Step.LOST, timeout=12)
    node.triton.process.resume()
    async with node.supervised():  # thawed in the middle of a load, Triton may abort: its stub has timed out
        await node.reaches("other", Step.READY, timeout=60)
        await _answers_again(node)


@pytest.mark.parametrize("damage", ["altered", "truncated"])
async def test_damage_on_disk_is_seen_and_repaired(
    node: NodeBench, registry: BytesRegistry, live: Desired, damage: str
) -> None:
    digest = live.files[0].digest.removeprefix("sha256:")
    kept = node.data / "store" / "objects" / digest[:2] / digest
    content = bytearray(kept.read_bytes())
    where = content.index(np.float32(4).tobytes())
    content[where : where + 4] = np.float32(5).tobytes()
    kept.write_bytes(bytes(content) if damage == "altered" else bytes(content[:-20]))
    registry.reads.clear()

    async def fetched() -> bool:
        return bool(registry.reads)

    async with node.supervised():
        node.triton.process.kill()
        await eventually(fetched, "the file fetched again")
        await node.reaches("live", Step.READY)
        await _answers_again(node)
    assert [read for read in registry.reads if read[0].endswith(digest)] == [(f"sha256:{digest}", 0)]
    assert await node.answer("live") == [4.0] * 4


async def test_a_registry_that_sends_other_bytes_is_refused(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    bad = registry.version("bad", 1, affine_files(9, 0))
    registry.content[bad.files[0].digest] = b"x" * bad.files[0].size_bytes
    await node.desire(live, bad)
    status = await node.reaches("bad", Step.FAILED)
    assert status.reason == Reason.DIGEST_MISMATCH
    assert "register the version again" in status.message
    assert await node.answer("live") == [4.0] * 4
    assert not (node.triton.repository / "bad").exists()


async def test_a_model_that_does_not_load_says_why_without_paths(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    files = {**affine_files(1, 0), "model.onnx": b"this is no model"}
    await node.desire(live, registry.version("bad", 1, files))
    status = await node.reaches("bad", Step.FAILED)
    assert status.reason == Reason.LOAD_FAILED
    assert str(node.folder) not in status.message
    assert "/" not in status.message.split("model.onnx")[0][-20:]
    assert node.preloaded() == ["live"]
    again = registry.version("bad", 1, files, generation=2)
    await node.desire(live, again)

    async def tried_again() -> bool:
        now = await node.status("bad")
        return now is not None and now.generation == 2 and now.state is Step.FAILED

    await eventually(tried_again, "another attempt")
    assert await node.answer("live") == [4.0] * 4
    await node.desire(live)
    await node.leaves("bad")
    assert not (node.triton.repository / "bad").exists()


async def test_a_wrong_answer_never_becomes_ready(node: NodeBench, registry: BytesRegistry, live: Desired) -> None:
    files = {**affine_files(1, 0), "warm.sample": affine_sample(1, 0.5).SerializeToString()}
    await node.desire(live, registry.version("liar", 1, files))
    status = await node.reaches("liar", Step.FAILED)
    assert status.reason == Reason.WARMUP_FAILED
    assert "y differs in 4 of 4 values, at most by 0.5" in status.message

    async def unloaded() -> bool:
        with node.triton.client() as client:
            return not client.is_model_ready("liar")

    await eventually(unloaded, "liar unloaded")
    assert node.preloaded() == ["live"]


async def test_answers_that_are_not_finite_fail_the_generated_sample(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    files = affine_files(float("inf"), float("-inf"), sample=False)
    await node.desire(live, registry.version("nan", 1, files))
    status = await node.reaches("nan", Step.FAILED)
    assert status.reason == Reason.WARMUP_FAILED
    assert "not finite" in status.message


async def test_a_model_that_kills_its_server_is_stopped_after_two_attempts(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    code = "import os\n\nclass TritonPythonModel:\n    def initialize(self, args):\n        os.kill(os.getppid(), 9)\n"
    config = 'backend: "python"\nmax_batch_size: 0\n' + "".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: [ 4 ] }}\n'
        for kind, name in (("input", "x"), ("output", "y"))
    )
    killer = registry.version("killer", 1, {"model.py": code.encode(), "config.pbtxt": config.encode()})
    async with node.supervised():
        await node.desire(live, killer)
        status = await node.reaches("killer", Step.FAILED, timeout=60)
        assert status.reason == Reason.LOAD_FAILED
        assert "2 times" in status.message
        await _answers_again(node)
        await node.reaches("live", Step.READY)
    assert node.preloaded() == ["live"]


async def _answers_again(node: NodeBench) -> None:
    async def served() -> bool:
        try:
            return await node.answer("live") == [4.0] * 4
        except tc.InferenceServerException:
            return False

    await eventually(served, "the model served again")


async def test_goes_on_with_the_last_orders_when_everybody_else_is_gone(
    node: NodeBench, consul_server: ConsulServer, registry: BytesRegistry, live: Desired
) -> None:
    consul_server.kill()
    try:
        node.agent.kill()
        node.triton.process.kill()
        node.triton.process.start()
        await asyncio.to_thread(node.triton.process.wait_until, node.triton.ready, "readiness")
        node.agent.start()
        assert await node.answer("live") == [4.0] * 4
        (node.triton.repository / "live" / "1" / "model.onnx").unlink()
        node.triton.process.kill()
        node.triton.process.start()
        await _answers_again(node)
    finally:
        consul_server.start()
    await node.reaches("live", Step.READY)


async def test_orders_that_were_lost_take_no_model_down(
    node: NodeBench, consul_server: ConsulServer, registry: BytesRegistry, live: Desired
) -> None:
    consul_server.kill()
    try:
        node.agent.kill()
        (node.data / "orders.json").unlink()
        seen = node.agent.log.read_text().count("triton_up")
        node.agent.start()

        async def looks() -> bool:
            return node.agent.log.read_text().count("triton_up") > seen

        await eventually(looks, "the agent at work")
        for _ in range(40):
            assert await node.answer("live") == [4.0] * 4
            await asyncio.sleep(0.1)
        assert node.preloaded() == ["live"]
    finally:
        consul_server.start()
    await node.reaches("live", Step.READY)
    await node.desire()
    await node.leaves("live")


async def test_a_wiped_consul_takes_no_model_down(
    node: NodeBench, consul_server: ConsulServer, consul: Consul, live: Desired
) -> None:
    await asyncio.to_thread(consul_server.wipe)
    await node.reaches("live", Step.READY)
    for _ in range(20):
        assert await node.answer("live") == [4.0] * 4
        await asyncio.sleep(0.1)
    assert await consul.kv.get(f"bmase/nodes/{node.name}/info") is not None
    await node.desire()  # the patcher has published everything again, and this model is not among it
    await node.leaves("live")


async def test_a_document_that_cannot_be_read_changes_nothing(node: NodeBench, consul: Consul, live: Desired) -> None:
    await consul.kv.put(desired_prefix(node.name) + "live", b"{ broken")
    await asyncio.sleep(1)
    assert await node.answer("live") == [4.0] * 4
    assert (await node.reaches("live", Step.READY)).version == 1


async def test_a_path_that_leaves_its_folder_is_refused(
    node: NodeBench, registry: BytesRegistry, live: Desired
) -> None:
    content = b"evil"
    evil = DesiredFile(path="../../../evil.txt", digest=registry.add(content), size_bytes=len(content))
    plain = registry.version("evil", 1, affine_files(1, 0))
    await node.desire(live, plain.model_copy(update={"files": (*plain.files, evil)}))
    status = await node.reaches("evil", Step.FAILED)
    assert status.reason == Reason.LOAD_FAILED
    assert not list(node.folder.rglob("evil.txt"))
    assert await node.answer("live") == [4.0] * 4


async def test_requests_under_way_are_answered_before_the_model_goes(node: NodeBench, registry: BytesRegistry) -> None:
    files = affine_files(1, 0, sample=False)
    files["model.onnx"] = onnx_models.slow(12_000).SerializeToString()
    await node.desire(registry.version("slow", 1, files))
    await node.reaches("slow", Step.READY, timeout=60)
    began = time.monotonic()
    first = asyncio.create_task(_timed_answer(node, "slow"))
    second = asyncio.create_task(_timed_answer(node, "slow"))
    await asyncio.sleep(0.2)
    await node.desire()
    assert await first == await second == [1.0] * 4
    assert time.monotonic() - began > 0.5, "the model was not slow enough to prove anything"
    await node.leaves("slow")


async def _timed_answer(node: NodeBench, model: str) -> list[float]:
    def ask() -> list[float]:
        with tc.InferenceServerClient(node.triton.grpc) as client:
            x = tc.InferInput("x", [1, 4], "FP32")
            x.set_data_from_numpy(np.ones((1, 4), np.float32))
            return [float(v) for v in client.infer(model, [x], client_timeout=30).as_numpy("y")[0]]

    return await asyncio.to_thread(ask)


async def test_stopping_the_agent_leaves_the_models_running(node: NodeBench, live: Desired) -> None:
    os.kill(node.agent.pid, signal.SIGTERM)
    await node.leaves("live")
    assert await node.answer("live") == [4.0] * 4
    await asyncio.to_thread(node.agent.stop)
    node.agent.start()
    await node.reaches("live", Step.READY)


SMALL_DISK = "12m"


@pytest.fixture
async def small_disk(
    tmp_path: Path, consul: Consul, consul_server: ConsulServer, registry: BytesRegistry
) -> AsyncIterator[NodeBench]:
    """A node whose store is on a disk of its own that is soon full."""
    node = NodeBench(tmp_path, consul, consul_server.url, name="small")
    store = node.data / "store"
    store.mkdir(parents=True, exist_ok=True)
    private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    script = f'mount -t tmpfs -o size={SMALL_DISK} tmpfs "$0" && exec "$@"'
    node.agent.command = [*private, "sh", "-c", script, str(store), *node.agent.command]
    try:
        await node.desire()
        yield await node.start()
    finally:
        await node.stop()


async def test_a_full_disk_fails_the_new_and_leaves_the_old(small_disk: NodeBench, registry: BytesRegistry) -> None:
    node = small_disk
    live = registry.version("live", 1, affine_files(4, 0))
    await node.desire(live)
    await node.reaches("live", Step.READY)
    inside = Path(f"/proc/{node.agent.pid}/root") / (node.data / "store").relative_to("/")
    filler = inside / "filler"
    filler.write_bytes(b"x" * (6 << 20))
    big = registry.version("big", 1, {**affine_files(2, 0), "ballast.bin": os.urandom(4 << 20)})
    await node.desire(live, big)
    status = await node.reaches("big", Step.FAILED)
    assert status.reason == Reason.STORAGE_FULL
    assert "undeploy something" in status.message
    assert await node.answer("live") == [4.0] * 4
    filler.unlink()
    await node.reaches("big", Step.READY)
    assert (await node.answer("big"), await node.answer("live")) == ([2.0] * 4, [4.0] * 4)


async def test_what_no_live_model_uses_makes_room(small_disk: NodeBench, registry: BytesRegistry) -> None:
    node = small_disk
    for number in range(1, 5):
        ballast = {"ballast.bin": os.urandom(5 << 20)}
        await node.desire(registry.version("digits", number, {**affine_files(number, 0), **ballast}))
        await node.reaches("digits", Step.READY, number)
        assert await node.answer("digits") == [float(number)] * 4
