"""TLS and tokens, against a registry that asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bmase import Client, aio
from bmase.errors import Denied, NotConfigured, Unavailable

from tests.support.certificates import Certificates
from tests.support.registry import Registry

TOKEN = "a-token-of-twenty-four-"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority that the client is told of, and a stranger."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Registry]:
    """A registry with TLS and a token."""
    environment = {
        "BMASE_REGISTRY_TLS__CERT": str(certificates.ours["cert"]),
        "BMASE_REGISTRY_TLS__KEY": str(certificates.ours["key"]),
        "BMASE_REGISTRY_TOKEN": TOKEN,
    }
    registry = Registry(tmp_path_factory.mktemp("closed"), environment)
    try:
        yield registry.start()
    finally:
        registry.close()


def test_with_the_authority_and_the_token(closed: Registry, certificates: Certificates) -> None:
    with Client(f"https://{closed.address}", token=TOKEN, ca=str(certificates.ca)) as client:
        assert list(client.models.list()) == []


@pytest.mark.anyio
async def test_asyncio_with_the_authority_and_the_token(closed: Registry, certificates: Certificates) -> None:
    async with aio.Client(closed.address, token=TOKEN, ca=str(certificates.ca)) as client:
        assert [m async for m in client.models.list()] == []


@pytest.mark.parametrize("token", [None, "another-token-of-20-chars"])
def test_without_the_right_token(closed: Registry, certificates: Certificates, token: str | None) -> None:
    with Client(closed.address, token=token, ca=str(certificates.ca)) as client, pytest.raises(Denied) as denied:
        list(client.models.list())
    assert denied.value.reason == "UNAUTHENTICATED"
    assert TOKEN not in str(denied.value)


def test_a_server_that_the_authority_does_not_know(
    closed: Registry, certificates: Certificates, tmp_path: Path
) -> None:
    stranger = Certificates(tmp_path)
    assert certificates.ca != stranger.ca
    with Client(closed.address, token=TOKEN, ca=str(stranger.ca)) as client, pytest.raises(Unavailable):
        list(client.models.list())


def test_a_certificate_that_is_not_there(closed: Registry) -> None:
    with pytest.raises(NotConfigured, match=r"/nowhere/ca\.pem"):
        Client(closed.address, ca="/nowhere/ca.pem")


def test_the_command_line_with_credentials(closed: Registry, certificates: Certificates, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "bmase"), "--address", closed.address, "--ca", str(certificates.ca)]
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [*command, "models", "list", "--json"], env={**clean, "BMASE_TOKEN": TOKEN}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "[]\n")
    ran = subprocess.run([*command, "models", "list", "--json"], env=clean, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    error = json.loads(ran.stderr)["error"]
    assert error["reason"] == "UNAUTHENTICATED"
    assert "BMASE_TOKEN" in error["hint"]
