"""Capture settings survive: a restart, a Consul that lost everything, a folder that was lost, and both away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.monitor.captures import Captures, CaptureSettings
from tests.support.consul import Consul as ConsulServer

pytestmark = pytest.mark.anyio

PRIVATE = CaptureSettings(opt_out=True, redacted=("patient",), retention=60.0)


async def stored(consul: Consul, model: str = "digits") -> dict[str, Any]:
    entry = await consul.kv.get(f"bmase/captures/{model}")
    return entry.json() if entry else {}


async def eventually(holds: Callable[[], Awaitable[bool]], timeout: float = 60) -> None:
    async with asyncio.timeout(timeout):
        while True:
            with contextlib.suppress(DomainError):
                if await holds():
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def leading(captures: Captures) -> AsyncIterator[None]:
    task = asyncio.create_task(captures.run())
    yield
    assert not task.done(), "the loop ended"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_gateways_are_told_at_once(consul: Consul, tmp_path: Path) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    await captures.update("digits", CaptureSettings(percent=25.0, label_output="digit"))
    found = await stored(consul)
    assert (found["percent"], found["judged"], found["slow_ms"]) == (25.0, False, 0.0)
    await captures.set_judged("digits", 80.0)
    found = await stored(consul)
    assert (found["percent"], found["judged"], found["slow_ms"]) == (25.0, True, 80.0)
    await captures.update("digits", CaptureSettings(percent=50.0))
    found = await stored(consul)
    assert (found["percent"], found["judged"], found["slow_ms"]) == (50.0, True, 80.0)
    await captures.set_judged("digits", None)
    assert (await stored(consul))["judged"] is False


async def test_a_model_that_is_only_judged_keeps_the_gateways_percentage(consul: Consul, tmp_path: Path) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    await captures.set_judged("digits", 0.0)
    assert await stored(consul) == {"judged": True, "slow_ms": 0.0}


async def test_nothing_leaves_the_gateways_of_a_model_that_opted_out(consul: Consul, tmp_path: Path) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    await captures.update("digits", CaptureSettings(percent=100.0, opt_out=True))
    assert (await stored(consul))["percent"] == 0.0
    assert captures.rules("digits").opt_out


async def test_settings_survive_a_restart(consul: Consul, tmp_path: Path) -> None:
    await Captures(tmp_path / "captures.json", consul).update("digits", PRIVATE)
    again = Captures(tmp_path / "captures.json", consul)
    assert again.rules("digits").redacted == ("patient",)
    assert again.rules("digits").retention == 60.0


async def test_a_successor_elsewhere_begins_with_consuls_copy(consul: Consul, tmp_path: Path) -> None:
    await Captures(tmp_path / "one" / "captures.json", consul).update("digits", PRIVATE)
    changed: list[str] = []
    other = Captures(tmp_path / "two" / "captures.json", consul)
    other.on_change = changed.append
    async with leading(other):

        async def adopted() -> bool:
            return other.rules("digits").opt_out

        await eventually(adopted)
    assert changed == ["digits"]
    assert other.of("digits").redacted == ("patient",)


async def test_one_who_comes_back_does_not_undo_what_happened_meanwhile(consul: Consul, tmp_path: Path) -> None:
    old = Captures(tmp_path / "one" / "captures.json", consul)
    await old.update("digits", CaptureSettings(percent=10.0))
    await Captures(tmp_path / "two" / "captures.json", consul).update("digits", PRIVATE)
    async with leading(old):

        async def adopted() -> bool:
            return old.rules("digits").opt_out

        await eventually(adopted)
    assert (await stored(consul))["settings"]["opt_out"] is True


async def test_a_consul_that_lost_everything_is_told_again(
    consul: Consul, consul_server: ConsulServer, tmp_path: Path
) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    async with leading(captures):
        await captures.update("digits", PRIVATE)
        await captures.set_judged("other", 40.0)
        await asyncio.to_thread(consul_server.wipe)

        async def told() -> bool:
            return bool((await stored(consul)).get("settings") and (await stored(consul, "other")).get("judged"))

        await eventually(told)


async def test_what_was_set_while_consul_was_away_follows(
    consul: Consul, consul_server: ConsulServer, tmp_path: Path
) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    async with leading(captures):
        await captures.update("digits", CaptureSettings(percent=10.0))
        await asyncio.to_thread(consul_server.kill)
        await captures.update("digits", PRIVATE)
        assert captures.rules("digits").opt_out
        await asyncio.to_thread(consul_server.start)

        async def told() -> bool:
            return (await stored(consul))["percent"] == 0.0

        await eventually(told)


async def test_settings_that_nobody_keeps_are_said_to_be_so(
    consul: Consul, consul_server: ConsulServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("where a folder has to be")
    captures = Captures(tmp_path / "file" / "captures.json", consul)
    await captures.update("digits", CaptureSettings(percent=10.0))  # Consul has it
    consul_server.kill()
    with pytest.raises(DomainError) as refused:
        await captures.update("digits", PRIVATE)
    assert refused.value.reason is Reason.STORAGE_FULL
    assert captures.rules("digits").opt_out, "in effect all the same"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"digits": {"percent": "much"}}'])
async def test_a_file_that_cannot_be_read_is_kept_aside(consul: Consul, tmp_path: Path, content: str) -> None:
    await Captures(tmp_path / "captures.json", consul).update("digits", PRIVATE)
    (tmp_path / "captures.json").write_text(content)
    captures = Captures(tmp_path / "captures.json", consul)
    assert (tmp_path / "captures.unreadable").read_text() == content
    async with leading(captures):

        async def adopted() -> bool:
            return captures.rules("digits").opt_out

        await eventually(adopted)


@pytest.mark.parametrize("value", ["", "x", "[]", "null", '{"settings": 3}', '{"settings": {"percent": -1}}'])
async def test_a_stray_value_in_consul_stops_nothing(consul: Consul, tmp_path: Path, value: str) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    async with leading(captures):
        await consul.kv.put("bmase/captures/stray", value)
        await captures.update("digits", PRIVATE)
        await consul.kv.put("bmase/captures/digits", value)

        async def told() -> bool:
            return (await stored(consul)).get("percent") == 0.0

        await eventually(told)


async def test_two_writes_at_once_both_hold(consul: Consul, tmp_path: Path) -> None:
    captures = Captures(tmp_path / "captures.json", consul)
    updates = [captures.update(f"model-{n % 5}", CaptureSettings(percent=float(n))) for n in range(40)]
    await asyncio.gather(*updates, *(captures.set_judged(f"model-{n}", 10.0) for n in range(5)))
    for model in range(5):
        found = await stored(consul, f"model-{model}")
        assert found["judged"] is True
        assert found["percent"] == captures.of(f"model-{model}").percent
    kept = json.loads((tmp_path / "captures.json").read_text())
    assert kept["model-4"]["percent"] == captures.of("model-4").percent
