"""The driver in an environment of the job's own: `python -m services.trainer.engine.inside FOLDER`.

Everything that the driver will need is imported before it begins: what the environment cannot give is told at once, and
not after the training.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    try:
        from services.trainer.engine import driver, judging, onray  # noqa: F401, PLC0415
    except Exception as error:  # packages that do not go together raise anything
        message = f"BMASE cannot run in the environment of the lock: {type(error).__name__}: {error}"
        line = json.dumps({"kind": "failed", "cause": "error", "message": message[:2000]})
        os.write(int(os.environ.get("BMASE_EVENTS") or sys.stdout.fileno()), line.encode() + b"\n")
        return 1
    return driver.main()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # As the driver's own end: what is told is told.
    os._exit(code)
