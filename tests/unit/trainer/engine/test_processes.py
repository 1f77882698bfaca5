"""Processes that the engine starts, with small programs in their place."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.trainer.engine import marks
from services.trainer.engine.embedded import EmbeddedRay
from services.trainer.engine.process import Process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


def program(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


async def test_a_driver_that_died_is_heard_to_have_ended_whatever_it_has_left_running(tmp_path: Path) -> None:
    # What is forked has the driver's end of the pipe, too.
    python = program(tmp_path / "driver", "sleep 600 &", "echo out of luck", "exit 3")
    mark = f"test-{os.getpid()}-{tmp_path.name}"
    process = Process(tmp_path, {}, mark, python)
    assert [said async for said in process.said()] == []
    assert await process.ended() == "the driver's process ended with exit code 3: out of luck"
    assert process.over
    assert marks.find(mark) == []


async def test_of_a_long_log_the_end_is_told(tmp_path: Path) -> None:
    python = program(tmp_path / "driver", "head -c 100000 /dev/zero | tr '\\0' x", "echo", "echo the cause", "exit 1")
    process = Process(tmp_path, {}, f"test-{os.getpid()}-{tmp_path.name}", python)
    assert [said async for said in process.said()] == []
    words = await process.ended()
    assert words.endswith("x\nthe cause")
    assert len(words) < 3000


async def test_a_start_of_ray_that_was_cancelled_is_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = EmbeddedRay(tmp_path / "ray", cpus=2.5)
    begun = tmp_path / "begun"
    monkeypatch.setattr(sys, "executable", program(tmp_path / "slow", f"touch {begun}", "exec sleep 600"))
    first = asyncio.create_task(ray.address())
    while not begun.exists():
        await asyncio.sleep(0.01)
    first.cancel()  # the job that wanted it is cancelled
    await asyncio.gather(first, return_exceptions=True)
    arguments = tmp_path / "arguments"
    quick = program(tmp_path / "quick", f'echo "$@" > {arguments}', "echo 127.0.0.1:1234", "exec sleep 600")
    monkeypatch.setattr(sys, "executable", quick)
    try:
        assert await ray.address() == "127.0.0.1:1234"
        assert "--cpus 3" in arguments.read_text()  # what jobs may hold has room on it
    finally:
        await ray.close()
    assert marks.find(f"ray-{tmp_path / 'ray'}") == []
