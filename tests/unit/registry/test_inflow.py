"""The turn to write an upload, at the moments when it changes hands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.registry.inflow import IDLE_SECONDS, IDLE_SECONDS_WITH_OTHERS, Slot
from services.registry.staging import StagedFile

pytestmark = pytest.mark.anyio


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    """A turn that somebody has."""
    made = Slot(StagedFile(tmp_path / "a.part"), crowded=lambda: False)
    made.users = 1
    return made


async def test_a_silent_writer_has_less_time_when_others_come(slot: Slot) -> None:
    now = asyncio.get_running_loop().time()
    async with asyncio.timeout(slot.patience()) as slot.idle:
        slot.users += 1
        slot.hurry()
        when = slot.idle.when()
    assert when is not None
    assert when < now + IDLE_SECONDS_WITH_OTHERS + 1 < now + IDLE_SECONDS


async def test_a_writer_whose_time_is_over_is_not_hurried(slot: Slot) -> None:
    async def silent() -> None:
        async with asyncio.timeout(0) as slot.idle:
            try:
                await asyncio.sleep(5)
            finally:
                slot.hurry()

    with pytest.raises(TimeoutError):
        await silent()
