"""An environment for TensorFlow, which shares its dependencies with nothing else: made by uv at its first use, and
kept while it is used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from services.trainer.environments import folder, one_at_a_time
from services.trainer.imports.cells import failed
from services.trainer.imports.sandbox import Interpreter

REQUIREMENTS = Path(__file__).with_name("tensorflow.txt")
SECONDS = 3600


def interpreter() -> Interpreter:
    """Installs 1.7 GB at the first use on a machine; CONVERSION_FAILED says what uv said when it cannot."""
    place = folder() / f"tensorflow-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    with one_at_a_time(place, print):
        if not place.exists():  # a folder that is there is whole
            _make(place)
    return Interpreter(place / "bin" / "python", (place, Path(sys.base_prefix)))


def _make(place: Path) -> None:
    partial = place.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    _uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(partial))
    _uv("pip", "install", "--quiet", "--python", str(partial / "bin" / "python"), "--requirement", str(REQUIREMENTS))
    partial.rename(place)


def _uv(*words: str) -> None:
    from uv import find_uv_bin  # noqa: PLC0415

    done = subprocess.run([find_uv_bin(), *words], capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-400:]
        raise failed(
            f"the environment for TensorFlow could not be made: {said}",
            "It is installed from the package index at its first use. Or import what tf2onnx makes of it.",
        )
