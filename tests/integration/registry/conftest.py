"""Registries on SQLite and files, and on MariaDB and S3: the same tests run on both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.mariadb import MariaDB
from tests.support.registry import Registry
from tests.support.seaweedfs import SeaweedFS

_names = itertools.count(1)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


def remote_settings(mariadb: MariaDB, seaweedfs: SeaweedFS) -> dict[str, str]:
    """Settings of a registry on an empty database and an empty bucket."""
    return {
        "BMASE_REGISTRY_DATABASE_URL": anyio.run(mariadb.fresh_database),
        "BMASE_REGISTRY_BLOB_URL": f"s3://{seaweedfs.new_bucket()}/registry?endpoint={seaweedfs.endpoint}",
        "AWS_ACCESS_KEY_ID": seaweedfs.admin.key,
        "AWS_SECRET_ACCESS_KEY": seaweedfs.admin.secret,
    }


@pytest.fixture(scope="session", params=["sqlite+files", "mariadb+s3"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One of each kind for all tests that do it no harm."""
    folder = tmp_path_factory.mktemp(request.param.replace("+", "-"))
    env = {}
    if request.param == "mariadb+s3":
        env = remote_settings(request.getfixturevalue("mariadb"), request.getfixturevalue("seaweedfs"))
    made = Registry(folder, env)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def stub(registry: Registry) -> Any:
    """The bare contract."""
    return registry.stub


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Registry]:
    """A registry on SQLite and files for a test that kills it."""
    made = Registry(tmp_path)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def name() -> str:
    """A model name of the test's own."""
    return f"model-{next(_names)}"
