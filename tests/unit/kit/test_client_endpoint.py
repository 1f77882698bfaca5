from __future__ import annotations

import pytest

from services.kit.client_endpoint import resolve, uri
from services.kit.consul import Instance


def _instances(*targets: tuple[str, int]) -> list[Instance]:
    return [Instance(id=f"i{number}", address=host, port=port) for number, (host, port) in enumerate(targets)]


async def test_addresses_are_sorted_and_each_is_there_once() -> None:
    found = await resolve(_instances(("10.0.0.2", 2), ("10.0.0.1", 1), ("10.0.0.2", 2)))
    assert found == ("10.0.0.1:1", "10.0.0.2:2")
    assert uri(found) == "ipv4:10.0.0.1:1,10.0.0.2:2"


async def test_one_family_only_as_grpc_takes_no_mixture() -> None:
    assert await resolve(_instances(("::1", 6), ("127.0.0.1", 4))) == ("127.0.0.1:4",)
    alone = await resolve(_instances(("fd00::2", 6), ("fd00::1", 6)))
    assert uri(alone) == "ipv6:[fd00::1]:6,[fd00::2]:6"


async def test_a_host_that_cannot_be_found_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await resolve(_instances(("256.256.256.256", 1), ("127.0.0.1", 4))) == ("127.0.0.1:4",)
    assert await resolve(_instances(("256.256.256.256", 1))) == ()
