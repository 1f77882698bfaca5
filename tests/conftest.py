"""What all tests share."""

from __future__ import annotations

import signal

import pytest

# Where tests run in the background of a shell, interrupts are ignored, which programs that they start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take a minute or more go first: begun last, one worker would still be at them when all others are done.
LONGEST_FIRST = (
    "trainer/reproduce/test_again.py",
    "patcher/test_patcher_faults.py",
    "patcher/releases/test_release_faults.py",
    "trainer/imports/test_imports.py",
    "monitor/test_faults.py",
    "patcher/releases/test_releases_at_envoy.py",
    "gateway/test_monitor_faults.py",
    "patcher/test_agent_faults.py",
    "patcher/releases/test_releases.py",
    "patcher/test_deployments.py",
    "kit/test_leader.py",
    "registry/test_faults.py",
    "gateway/test_faults.py",
    "trainer/test_ray.py",
    "monitor/samples/test_stores.py",
    "patcher/releases/test_many_releases.py",
    "trainer/search/test_group.py",
    "e2e/test_demo.py",
    "e2e/test_judged.py",
    "e2e/test_explanations.py",
    "e2e/test_faults_control.py",
    "e2e/test_guides.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: the tests of a file, and the other files, stay in their order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST_FIRST))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, which grpc.aio is bound to."""
    return "asyncio"
