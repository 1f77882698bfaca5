"""One gateway before two Tritons for the tests that only use it, and a fresh one for each module that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton_grpc

from tests.support.gateway import Platform

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Nodes blue and green with the model `lin`, version 1 on blue (90 %), version 2 on green (10 %)."""
    yield from _running(tmp_path_factory.mktemp("platform"), request_bytes=24 * MEBIBYTE, receive_seconds=3)


@pytest.fixture(scope="module")
def own_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The same, for a module that kills parts of it."""
    yield from _running(tmp_path_factory.mktemp("own"))


def _running(folder: Path, **settings: object) -> Iterator[Platform]:
    made = Platform(folder, **settings)
    try:
        made.start()
        made.place("lin", {1: ["blue"], 2: ["green"]})
        made.gateway.set_route("lin", {1: 90, 2: 10})
        yield made
    finally:
        made.close()


@pytest.fixture
def client(platform: Platform) -> Iterator[triton_grpc.InferenceServerClient]:
    """An unmodified client at the gateway's address."""
    with triton_grpc.InferenceServerClient(platform.gateway.address) as made:
        yield made
