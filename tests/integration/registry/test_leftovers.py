"""What a crash at the worst moment leaves behind, and how it goes. The parts run here without a server around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import select, update

from services.kit.blob import FileStore
from services.kit.database import Database
from services.kit.decode import decode
from services.kit.errors import DomainError
from services.registry import requests, tables
from services.registry.artefacts import Artefacts
from services.registry.content import sha256
from services.registry.garbage import MAX_FAILURES, Ages, Garbage
from services.registry.journal import Journal
from services.registry.models import Models
from services.registry.staging import WHOLE, Staging, UploadId
from services.registry.uploads import Uploads
from services.registry.watch import Watch
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio

NOW = Ages(deleted=-1, artefact=-1, upload=-1, answer=-1, change=-1)


class Parts:
    """A registry's parts on one database and a folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.store = FileStore(folder / "blobs")
        self.journal = Journal(database)
        self.artefacts = Artefacts(database, self.store)
        self.uploads = Uploads(Staging(folder / "uploads"), self.artefacts)
        self.garbage = Garbage(database, self.journal, self.artefacts, self.uploads)

    async def keys(self) -> list[str]:
        return [info.key async for info in self.store.list("")]

    async def announced(self) -> list[str]:
        async with self.database.read() as session:
            return list(await session.scalars(select(tables.spare_blobs.c.blob_key)))


@pytest.fixture(params=["sqlite", "mariadb"])
async def parts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Parts]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        url = await server.fresh_database()
    async with Database(url) as database:
        await database.migrate("services.registry")
        yield Parts(database, tmp_path)


class Crash(BaseException):
    """The process ends here."""


async def test_a_blob_without_its_artefact_goes(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(parts.artefacts, "_adopt", crash)
    with pytest.raises(Crash):
        await parts.artefacts.put_bytes(b"never registered")
    monkeypatch.undo()
    (key,) = await parts.keys()
    assert await parts.announced() == [key]
    await parts.garbage.collect(NOW, dry_run=False)
    assert await parts.keys() == [key]  # it may still be on its way
    async with parts.database.begin() as session:
        await session.execute(update(tables.spare_blobs).values(since=0))
    await parts.garbage.collect(NOW, dry_run=False)
    assert await parts.keys() == await parts.announced() == []


async def test_a_put_that_was_given_up_is_not_registered(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    put = parts.store.put_if_absent

    async def slow(key: str, source: object, *, consume: bool = False) -> bool:
        done = await put(key, source, consume=consume)  # type: ignore[arg-type]
        await parts.artefacts.discard(key)
        return done

    monkeypatch.setattr(parts.store, "put_if_absent", slow)
    with pytest.raises(DomainError) as caught:
        await parts.artefacts.put_bytes(b"too slow")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert await parts.artefacts.find(sha256(b"too slow")) is None


async def test_a_removal_that_was_cut_off_is_finished(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = await parts.artefacts.put_bytes(b"unused")

    async def crash(_key: str) -> None:
        raise Crash

    monkeypatch.setattr(parts.artefacts, "discard", crash)
    with pytest.raises(Crash):
        await parts.garbage.collect(NOW, dry_run=False)
    monkeypatch.undo()
    assert await parts.keys() == [stored.blob_key]
    again = await parts.artefacts.put_bytes(b"unused")
    assert again.blob_key != stored.blob_key
    later = Ages(artefact=3600)
    await parts.garbage.collect(later, dry_run=False)
    assert await parts.keys() == [again.blob_key]
    assert await parts.artefacts.read_small(again) == b"unused"


async def test_a_blob_that_was_lost_is_put_again_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = await parts.artefacts.put_bytes(b"wanted")
    await parts.store.delete(lost.blob_key)
    put = parts.store.put_if_absent
    other = Artefacts(parts.database, FileStore(parts.store.root))

    async def overtaken(key: str, source: object, *, consume: bool = False) -> bool:
        monkeypatch.undo()
        await other.put_bytes(b"wanted")
        return await put(key, source, consume=consume)  # type: ignore[arg-type]

    monkeypatch.setattr(parts.store, "put_if_absent", overtaken)
    found = await parts.artefacts.put_bytes(b"wanted")
    assert found == await parts.artefacts.find(lost.digest)
    assert (await parts.artefacts.read_small(found), found.create_time) == (b"wanted", lost.create_time)
    assert await parts.keys() == [found.blob_key] != [lost.blob_key]
    assert await parts.announced() == [lost.blob_key]
    await parts.garbage.collect(Ages(artefact=3600), dry_run=False)
    assert (await parts.keys(), await parts.announced()) == ([found.blob_key], [])


async def test_one_blob_that_cannot_be_removed_keeps_nothing_else(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [await parts.artefacts.put_bytes(f"unused {index}".encode()) for index in range(4)]
    stuck = sorted(artefact.blob_key for artefact in stored)[1]
    remove = parts.store.delete

    async def refusing(key: str) -> None:
        if key == stuck:
            raise DomainError(Reason.STORE_UNAVAILABLE, "not this one")
        await remove(key)

    monkeypatch.setattr(parts.store, "delete", refusing)
    request = pb.CreateModelRequest(model=pb.Model(name="models/m"), request_id="once")
    await Models(parts.database, parts.journal).create(decode(requests.CreateModel, request), "fingerprint")
    found = await parts.garbage.collect(NOW, dry_run=False)
    assert found.artefacts == 4
    assert await parts.keys() == await parts.announced() == [stuck]
    assert await parts.journal.bounds() == (1, 1)
    monkeypatch.undo()
    await parts.garbage.collect(NOW, dry_run=False)
    assert await parts.keys() == await parts.announced() == []


async def test_a_store_that_is_away_is_not_asked_for_every_blob(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(MAX_FAILURES + 2):
        await parts.artefacts.put_bytes(f"unused {index}".encode())
    asked = []

    async def away(key: str) -> None:
        asked.append(key)
        raise DomainError(Reason.STORE_UNAVAILABLE, "away")

    monkeypatch.setattr(parts.store, "delete", away)
    with pytest.raises(DomainError):
        await parts.garbage.collect(NOW, dry_run=False)
    assert len(asked) == MAX_FAILURES


async def test_an_upload_that_cannot_be_removed_keeps_no_other(parts: Parts, tmp_path: Path) -> None:
    ids = [UploadId(sha256(text), 5) for text in (b"one", b"two")]
    staging = Staging(tmp_path / "uploads")
    for upload_id in ids:
        staging.begin(upload_id)
    stuck, other = sorted(ids, key=staging.path)
    staging.path(stuck).with_suffix(WHOLE).mkdir()
    found = await parts.garbage.collect(NOW, dry_run=False)
    assert found.names == [f"upload {other}"]
    assert (staging.length(stuck), staging.length(other)) == (0, None)


async def test_the_loser_of_a_race_takes_its_blob_away(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    put = parts.store.put_if_absent
    other = Artefacts(parts.database, FileStore(parts.store.root))

    async def overtaken(key: str, source: object, *, consume: bool = False) -> bool:
        await other.put_bytes(b"wanted by two")
        return await put(key, source, consume=consume)  # type: ignore[arg-type]

    monkeypatch.setattr(parts.store, "put_if_absent", overtaken)
    stored = await parts.artefacts.put_bytes(b"wanted by two")
    assert await parts.keys() == [stored.blob_key]
    assert await parts.announced() == []


async def test_history_that_was_trimmed_is_refused(parts: Parts) -> None:
    models = Models(parts.database, parts.journal)
    for index in range(3):
        request = pb.CreateModelRequest(model=pb.Model(name=f"models/m{index}"), request_id=f"id-{index}")
        await models.create(decode(requests.CreateModel, request), "fingerprint")
    await parts.garbage.collect(NOW, dry_run=False)
    assert await parts.journal.bounds() == (3, 3)
    watch = Watch(parts.database, parts.journal)
    with pytest.raises(DomainError) as caught:
        await anext(watch.events(2, None))
    assert caught.value.reason is Reason.REVISION_GONE
    present = watch.events(0, None)
    kinds = [(await anext(present)).kind for _ in range(4)]
    assert kinds[-1] == pb.WatchModelsResponse.KIND_SYNCED
    waiting = watch.events(3, None)
    await models.create(decode(requests.CreateModel, pb.CreateModelRequest(model=pb.Model(name="models/m9"))), "")
    assert (await anext(waiting)).revision == 4
