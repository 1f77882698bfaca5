"""Calls that create are done once for each request id, however often they arrive."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from bmase.reasons import Reason
from google.protobuf.message import Message
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.errors import DomainError
from services.registry import moments
from services.registry.tables import answers

Answer = TypeVar("Answer", bound=Message)


def fingerprint(request: Message) -> str:
    """Equal for requests that ask for the same thing."""
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + request.SerializeToString(deterministic=True)).hexdigest()


async def first_answer(session: AsyncSession, request_id: str, asked: str, kind: type[Answer]) -> Answer | None:
    """What the first call with this id was answered; REQUEST_REUSED when it asked for something else."""
    if not request_id:
        return None
    row = (await session.execute(select(answers).where(answers.c.request_id == request_id))).one_or_none()
    if row is None:
        return None
    if row.fingerprint != asked:
        raise DomainError(
            Reason.REQUEST_REUSED,
            f"the request id {request_id!r} was used before for another request",
            field="request_id",
            hint="Make a new id for each request, and repeat it only with the same request.",
        )
    return kind.FromString(row.answer)


async def keep(session: AsyncSession, request_id: str, asked: str, answer: Message) -> None:
    """Keeps an answer in the transaction that made what it speaks of."""
    if request_id:
        values = {
            "request_id": request_id,
            "fingerprint": asked,
            "answer": answer.SerializeToString(),
            "create_time": moments.now(),
        }
        await session.execute(answers.insert().values(values))
