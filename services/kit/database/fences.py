"""A leader's fence beside what it writes: after a later leader's first write, an earlier one's are refused.

`fences` is the table of the service, with the columns `name` and `fence`; `name` is what is led.
"""

from __future__ import annotations

from bmase.reasons import Reason
from sqlalchemy import Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.errors import DomainError


async def leading_fence(session: AsyncSession, fences: Table, name: str) -> int:
    """The highest fence that was written under; 0: none."""
    return int(await session.scalar(select(fences.c.fence).where(fences.c.name == name)) or 0)


async def raise_fence(session: AsyncSession, fences: Table, name: str, fence: int) -> None:
    """Raises NOT_LEADER when a later leader has written; from now on, earlier ones are refused."""
    columns = fences.c
    stored = await session.scalar(select(columns.fence).where(columns.name == name).with_for_update())
    if stored is None:
        await session.execute(insert(fences).values(name=name, fence=fence))
    elif stored > fence:
        raise DomainError(Reason.NOT_LEADER, "a later leader has written; this process no longer leads")
    elif stored < fence:
        await session.execute(update(fences).where(columns.name == name).values(fence=fence))
