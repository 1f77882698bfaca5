"""`make demo` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import demo


@pytest.mark.timeout(2 * demo.SECONDS)
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    assert "pushed earlier" not in demo.run(tmp_path / "demo")
