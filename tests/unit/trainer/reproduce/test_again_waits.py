"""Who builds an environment that somebody else builds already waits for it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.trainer.environments import one_at_a_time
from services.trainer.reproduce import again
from services.trainer.reproduce.again import How, environment_folder, reproduce

pytestmark = pytest.mark.timeout(60)


def test_a_reproduction_waits_for_the_environment_that_another_one_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Any = SimpleNamespace(environment=SimpleNamespace(digest="sha256:" + "a" * 64))
    version: Any = SimpleNamespace(record=lambda: record)
    did, waits = list[str](), threading.Event()
    for name in ("check_data", "sources", "train", "compare"):
        monkeypatch.setattr(again, name, lambda *_: None)
    monkeypatch.setattr(again, "build", lambda *_: did.append("built by the second"))

    def told(_step: int, message: str) -> None:
        if "another" in message:
            waits.set()

    how = How(tmp_path / "environments", told=told)
    second = threading.Thread(target=reproduce, args=(version, tmp_path / "out", how))
    with one_at_a_time(environment_folder(record, how.environments), did.append):
        second.start()
        assert waits.wait(50), "it did not wait"
        did.append("built by the first")
    second.join()
    assert did == ["built by the first", "built by the second"]
