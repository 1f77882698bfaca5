"""What the README tells a newcomer to type, typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.local import leftovers
from infra.local.place import CHECKOUT, DATA_VARIABLE, Identity, Place, read_json

README = (CHECKOUT / "README.md").read_text("utf-8")
NOT_OF_A_NEW_USER = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "BMASE_ADDRESS")
COMMAND_SECONDS = 240
DOCUMENTED = "localhost:8080"


def _block(beginning: str) -> list[str]:
    """The commands of the block that begins with this line, without their comments."""
    blocks = [block.splitlines() for block in re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]
    (found,) = [block for block in blocks if block[0].startswith(beginning)]
    return [line.split(" #")[0].strip() for line in found]


def _type(command: str, place: Place) -> str:
    # As typed by hand: nothing of a make that may have started these tests.
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OF_A_NEW_USER}
    environment[DATA_VARIABLE] = str(place.root)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(2 * COMMAND_SECONDS)
def test_the_five_minutes(tmp_path: Path) -> None:
    """From `make up` to a prediction, curl beside it, and nothing left behind."""
    place = Place.at(tmp_path / "data")
    *commands, last = _block("make up")
    try:
        said = [_type(command, place) for command in commands]
        assert "setosa" in said[-1]
        (curl,) = _block("curl")
        assert DOCUMENTED in curl
        answer = _type(curl.replace(DOCUMENTED, read_json(place.endpoints)["gateway"]), place)
        assert json.loads(answer)["inputs"][0]["name"] == "x"
    finally:
        _type(last, place)
    identity = Identity.read(place)
    assert identity is not None
    assert leftovers.find(identity.id) == []


def test_the_tasks_that_it_names_exist() -> None:
    offered = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    named = {line.split()[1] for line in _block("make demo")}
    assert named == {"demo", "test"}
    assert all(re.search(rf"^  {task} ", offered, re.MULTILINE) for task in named)
