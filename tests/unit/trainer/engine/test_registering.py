"""When the registry is asked for a version."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from services.trainer.engine import registering
from services.trainer.engine.registering import Registering
from services.trainer.jobs.state import Phase
from services.trainer.jobs.transitions import StaleAttempt, committed
from tests.unit.trainer.jobs.jobs import at

pytestmark = pytest.mark.anyio


class Registry:
    def __init__(self, known: int = 0) -> None:
        self.did: list[str] = []
        self.known = known

    async def made_by(self, _model: str, _job: str) -> int:
        self.did.append("look")
        return self.known

    async def put(self, _files: object) -> list[object]:
        self.did.append("put")
        return []

    async def create(self, _new: object, _files: object) -> int:
        self.did.append("create")
        return 3


@pytest.mark.parametrize("stopped", [False, True])
async def test_files_are_stored_then_it_is_committed_then_the_version_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    made = SimpleNamespace(files=[], evidence=tmp_path)
    monkeypatch.setattr(Registering, "_bring", lambda *_: made)
    monkeypatch.setattr(registering, "_new", lambda *_: None)
    registry: Any = Registry()

    async def commit() -> None:
        registry.did.append("commit")
        if stopped:
            raise StaleAttempt("stopped")

    async with grpc.aio.insecure_channel("127.0.0.1:1") as monitor:
        parts = Registering(registry, monitor, tmp_path.as_uri())
        if stopped:
            with pytest.raises(StaleAttempt):
                await parts.register(at(Phase.REGISTERING), tmp_path, 0, commit)
            assert registry.did == ["put", "commit"]
        else:
            assert await parts.register(at(Phase.REGISTERING), tmp_path, 0, commit) == 3
            assert registry.did == ["put", "commit", "create"]


@pytest.mark.parametrize(("known", "did"), [(5, ["look"]), (0, ["look", "put", "commit", "create"])])
async def test_a_job_that_asked_before_takes_the_version_that_it_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int, did: list[str]
) -> None:
    monkeypatch.setattr(Registering, "_bring", lambda *_: SimpleNamespace(files=[], evidence=tmp_path))
    monkeypatch.setattr(registering, "_new", lambda *_: None)
    registry: Any = Registry(known)

    async def commit() -> None:
        registry.did.append("commit")

    asked = committed(at(Phase.REGISTERING), 1, 9.0, 0)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as monitor:
        number = await Registering(registry, monitor, tmp_path.as_uri()).register(asked, tmp_path, 0, commit)
    assert (number, registry.did) == (known or 3, did)
