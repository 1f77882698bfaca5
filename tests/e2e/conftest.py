"""One suite for the tests that only use it, and a fresh one for each module of tests that break it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogue import Catalogue
from tests.support.suite import Suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A running suite; tests use models of their own in it and leave its programs alone."""
    yield from _running(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def own_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A running suite that this module may break."""
    yield from _running(tmp_path_factory.mktemp("own"))


def _running(folder: Path) -> Iterator[Suite]:
    made = Suite(folder / "data")
    try:
        yield made.up()
    finally:
        made.end()
        shutil.rmtree(folder / "data" / "registry", ignore_errors=True)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Makes models for one test."""
    return Catalogue(tmp_path)
