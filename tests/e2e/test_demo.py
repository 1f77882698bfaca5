"""`make demo` as a user runs it, twice: the second time with what the first has left."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.local import leftovers
from infra.local.place import CHECKOUT, DATA_VARIABLE, Identity, Place

MAKE_SECONDS = 600
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "DEMO_KEEP")


@pytest.mark.timeout(2 * MAKE_SECONDS)
def test_the_demo_keeps_its_promises_twice(tmp_path: Path) -> None:
    place = Place.at(tmp_path / "demo")
    for time in ("first", "second"):
        output = _make_demo(place)
        assert re.search(r"requests failed\W+0\b", output), output
        assert len(re.findall(r"accuracy of version \d\W+\d\d\.\d%", output)) == 2, output
        assert "roll back" in output
        verdicts = re.findall(r"^.*?(\d): (better|fails for some|slow|wrong)\W+(promoted|rolled back)", output, re.M)
        assert [(label, verdict) for _, label, verdict in verdicts] == [
            ("better", "promoted"),
            ("fails for some", "rolled back"),
            ("slow", "rolled back"),
            ("wrong", "rolled back"),
        ], output
        assert ("pushed earlier" in output) == (time == "second"), output
        identity = Identity.read(place)
        assert identity is not None
        assert leftovers.find(identity.id) == [], "the demo left something running"


def _make_demo(place: Place) -> str:
    # As typed by hand: nothing of a make that may have started these tests.
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    environment |= {DATA_VARIABLE: str(place.root), "COLUMNS": "160"}
    done = subprocess.run(
        ["make", "demo"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
