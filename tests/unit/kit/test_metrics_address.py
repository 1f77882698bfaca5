"""Where Prometheus is told to read a process, over loopback, a wildcard and IPv6."""

from __future__ import annotations

import pytest

from services.kit.config import ServiceSettings
from services.kit.server import metrics_address


@pytest.mark.parametrize(
    ("listen", "host", "address"),
    [
        ("127.0.0.1:0", "10.0.0.7", "127.0.0.1:9100"),
        ("0.0.0.0:9100", "10.0.0.7", "10.0.0.7:9100"),
        ("[::]:9100", "fd00::7", "[fd00::7]:9100"),
    ],
)
def test_others_are_told_an_address_that_they_can_dial(listen: str, host: str, address: str) -> None:
    assert metrics_address(ServiceSettings(metrics_listen=listen), 9100, host) == address


def test_a_process_without_metrics_tells_none() -> None:
    assert metrics_address(ServiceSettings(), 0, "127.0.0.1") == ""
