"""`make demo` as a user runs it, and everything that it has to show each time."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from infra.local import leftovers
from infra.local.place import CHECKOUT, DATA_VARIABLE, Identity, Place

SECONDS = 600
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "DEMO_KEEP")


def run(root: Path) -> str:
    """What it printed; its suite's data lie below `root`, and nothing of it runs any more."""
    place = Place.at(root)
    output = _made(place)
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
    identity = Identity.read(place)
    assert identity is not None
    assert leftovers.find(identity.id) == [], "the demo left something running"
    return output


def _made(place: Place) -> str:
    # As typed by hand: nothing of a make that may have started these tests.
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    environment |= {DATA_VARIABLE: str(place.root), "COLUMNS": "160"}
    done = subprocess.run(
        ["make", "demo"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
