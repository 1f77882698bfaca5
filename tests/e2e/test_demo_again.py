"""`make demo` once more: with what the first time has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import demo


@pytest.mark.timeout(4 * demo.SECONDS)
def test_the_demo_keeps_its_promises_twice(tmp_path: Path) -> None:
    assert ["pushed earlier" in demo.run(tmp_path / "demo") for _ in range(2)] == [False, True]
