"""What the tests of whole reproductions share."""

from __future__ import annotations

import pytest

from tests.integration.trainer.reproduce.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("world")
        patch.setenv("UV_CACHE_DIR", str(folder / "cache"))
        patch.setenv("UV_NO_CONFIG", "1")
        return World(folder)


@pytest.fixture
def _own_cache(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(world.folder / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
