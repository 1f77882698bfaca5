"""The state in SQL: changed as one value in one transaction.

A read is of one moment on SQLite. On MySQL its tables are read one after the other, so it may be of several moments; a
change never is, as it locks what it reads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from bmase.reasons import Reason
from sqlalchemy import Table, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database, is_duplicate
from services.kit.database.fences import leading_fence, raise_fence
from services.kit.errors import DomainError
from services.patcher import tables as t
from services.patcher.documents import DesiredFile, NodeInfo
from services.patcher.state import (
    Deployment,
    Key,
    NodeRecord,
    Phase,
    Published,
    Replica,
    RouteWish,
    Seat,
    State,
)

LEADER = "patcher"
REQUESTS_KEPT = 86_400.0
DUPLICATE_ATTEMPTS = 3

Row = Mapping[str, Any]
ReplicaId = tuple[str, int, str]
Change = Callable[[State], State]
Result = TypeVar("Result")


class Records:
    """All access to the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def read(self) -> State:
        async with self._db.read() as session:
            return await _load(session)

    async def change(self, decide: Change, fence: int = 0) -> State:
        """Runs `decide` on the state and keeps what it returns, all in one transaction.

        With a fence, NOT_LEADER when a later leader has written. `decide` may raise to change nothing, and may be run
        again after a deadlock, so it must be pure.
        """

        async def work(session: AsyncSession) -> State:
            if fence:
                await raise_fence(session, t.fences, LEADER, fence)
            return await _changed(session, decide)

        return await self._run(work)

    async def create(self, deployment: Deployment, files: tuple[DesiredFile, ...], request: tuple[str, str]) -> Key:
        """Keeps a new deployment; `request` is its id (or empty) and fingerprint. Repeated, it gets the first one.

        Raises DEPLOYMENT_EXISTS, and REQUEST_REUSED for an id that was used for something else.
        """

        async def work(session: AsyncSession) -> Key:
            # First of all, so that of two equal requests at once the second waits here, and then finds the first one's.
            if request[0] and (made := await _made_before(session, *request, deployment.key)):
                return made
            await _changed(session, lambda state: _with_new(state, deployment))
            content = json.dumps([file.model_dump(mode="json") for file in files])
            key = {"model": deployment.model, "version": deployment.version}
            await session.execute(insert(t.deployment_files).values(**key, files=content))
            return deployment.key

        return await self._run(work)

    async def _run(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """`work` in a transaction; once more when another one made the same row meanwhile: now it sees it."""
        for _ in range(DUPLICATE_ATTEMPTS - 1):
            try:
                return await self._db.run(work)
            except IntegrityError as error:
                if not is_duplicate(error):
                    raise
        return await self._db.run(work)

    async def files(self, key: Key) -> tuple[DesiredFile, ...]:
        """The files of a deployed version; none when the deployment is gone."""
        columns = t.deployment_files.c
        query = select(columns.files).where(columns.model == key[0], columns.version == key[1])
        async with self._db.read() as session:
            content = await session.scalar(query)
        return tuple(DesiredFile.model_validate(file) for file in json.loads(content or "[]"))

    async def fence(self) -> int:
        """The highest fence that was written under."""
        async with self._db.read() as session:
            return await leading_fence(session, t.fences, LEADER)


async def _changed(session: AsyncSession, decide: Change) -> State:
    before = await _load(session, lock=True)
    after = decide(before)
    now = time.time()
    await _save(session, t.deployments, _rows(before.deployments), _touched(before, after, now))
    await _save(session, t.replicas, _rows(before.replicas), _rows(after.replicas))
    await _save(session, t.nodes, _node_rows(before), _node_rows(after))
    await _save(session, t.published, _published_rows(before), _published_rows(after))
    await _save(session, t.gateways, _gateway_rows(before), _gateway_rows(after))
    for model, version in before.deployments.keys() - after.deployments.keys():
        columns = t.deployment_files.c
        await session.execute(delete(t.deployment_files).where(columns.model == model, columns.version == version))
    return after


async def _load(session: AsyncSession, *, lock: bool = False) -> State:
    async def rows(table: Table, locked: bool = False) -> list[Row]:
        query = select(table).order_by(*table.primary_key.columns)
        found = await session.execute(query.with_for_update() if locked else query)
        return [dict(row._mapping) for row in found]

    deployments = [_deployment(row) for row in await rows(t.deployments, lock)]
    nodes = await rows(t.nodes, lock)
    replicas = map(_replica, await rows(t.replicas, lock))
    return State(
        deployments={d.key: d for d in deployments},
        replicas=_of_known(replicas, deployments),
        nodes={row["name"]: NodeRecord(NodeInfo.model_validate_json(row["info"]), row["cordoned"]) for row in nodes},
        published={row["model"]: _published(row) for row in await rows(t.published)},
        gateways={row["name"]: row["seen"] for row in await rows(t.gateways)},
    )


def _of_known(replicas: Iterable[Replica], deployments: Iterable[Deployment]) -> dict[ReplicaId, Replica]:
    """Without those of a deployment that was made after the deployments were read: nobody has heard of it yet."""
    known = {deployment.key for deployment in deployments}
    return {replica.id: replica for replica in replicas if replica.key in known}


async def _save(session: AsyncSession, table: Table, before: Mapping[Any, Row], after: Mapping[Any, Row]) -> None:
    """Writes the difference, row by row: there is rarely more than one."""
    keys = [column.name for column in table.primary_key.columns]
    for gone in before.keys() - after.keys():
        await session.execute(delete(table).where(_same(table, keys, before[gone])))
    for key, row in after.items():
        if key not in before:
            await session.execute(insert(table).values(**row))
        elif row != before[key]:
            await session.execute(update(table).where(_same(table, keys, row)).values(**row))


def _same(table: Table, keys: list[str], row: Row) -> Any:
    return and_(*(table.c[key] == row[key] for key in keys))


async def _made_before(session: AsyncSession, request_id: str, fingerprint: str, key: Key) -> Key | None:
    columns = t.requests.c
    await session.execute(delete(t.requests).where(columns.created < time.time() - REQUESTS_KEPT))
    known = (await session.execute(select(t.requests).where(columns.id == request_id))).first()
    if known is None:
        row = {"id": request_id, "fingerprint": fingerprint, "model": key[0], "version": key[1], "created": time.time()}
        await session.execute(insert(t.requests).values(**row))
        return None
    if known.fingerprint != fingerprint:
        message = f"the request_id {request_id} was used for another deployment; use a new one for each request"
        raise DomainError(Reason.REQUEST_REUSED, message, field="request_id")
    return (known.model, known.version)


def _with_new(state: State, deployment: Deployment) -> State:
    known = state.deployments.get(deployment.key)
    if known is None:
        return replace(state, deployments={**state.deployments, deployment.key: deployment})
    leaving = known.phase is not Phase.ACTIVE
    raise DomainError(
        Reason.DEPLOYMENT_EXISTS,
        f"{known.name} {'is still being taken out of service' if leaving else 'exists'}",
        hint="Wait until it is gone, then deploy again." if leaving else "Scale it, or delete it first.",
        metadata={"deployment": known.name},
    )


def _rows(values: Mapping[Any, Deployment] | Mapping[Any, Replica]) -> dict[Any, Row]:
    return {key: asdict(value) for key, value in values.items()}


def _touched(before: State, after: State, now: float) -> dict[Any, Row]:
    """The deployments after, with the time of the change in those that changed."""
    return {
        key: asdict(d if before.deployments.get(key) == d else replace(d, updated=now))
        for key, d in after.deployments.items()
    }


def _deployment(row: Row) -> Deployment:
    known = {**row, "phase": Phase(row["phase"]), "route": RouteWish(row["route"])}
    return Deployment(**known)


def _replica(row: Row) -> Replica:
    return Replica(**{**row, "seat": Seat(row["seat"])})


def _published(row: Row) -> Published:
    versions = {version: tuple(nodes) for version, nodes in json.loads(row["versions"]).items()}
    return Published(row["revision"], versions)


def _node_rows(state: State) -> dict[Any, Row]:
    return {
        name: {"name": name, "info": record.info.model_dump_json(), "cordoned": record.cordoned}
        for name, record in state.nodes.items()
    }


def _published_rows(state: State) -> dict[Any, Row]:
    return {
        model: {
            "model": model,
            "revision": p.revision,
            "versions": json.dumps({v: list(n) for v, n in p.versions.items()}),
        }
        for model, p in state.published.items()
    }


def _gateway_rows(state: State) -> dict[Any, Row]:
    return {name: {"name": name, "seen": at} for name, at in state.gateways.items()}
