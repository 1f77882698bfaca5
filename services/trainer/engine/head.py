"""The embedded Ray of a trainer: `python -m services.trainer.engine.head --cpus N --folder DIR`.

One node on loopback, for the time of its parent: it ends when its standard input is closed, or when one of Ray's
two processes without which no job runs has died, and takes its folder with it. Its address is the first line on
standard output.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from typing import NoReturn

from services.trainer.engine import loopback, marks

LOOK_EVERY = 0.5
NEEDED = frozenset({"gcs_server", "raylet"})  # Ray's names of them


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", type=float, required=True)
    parser.add_argument("--folder", required=True)
    given = parser.parse_args()
    loopback.stay(loopback.HOST)
    from ray._private import node, parameter  # noqa: PLC0415 - what `ray start --head` does, without its words

    parameters = parameter.RayParams(
        node_ip_address=loopback.HOST,
        gcs_server_port=0,
        num_cpus=int(given.cpus),
        include_dashboard=False,
        temp_dir=given.folder,
        include_log_monitor="false",
        object_store_memory=256 * 2**20,
    )
    head = node.Node(parameters, head=True, shutdown_at_exit=True, spawn_reaper=True)
    print(head.gcs_address, flush=True)
    threading.Thread(target=_until_closed, args=(given.folder,), daemon=True).start()
    while not NEEDED.intersection(kind for kind, _ in head.dead_processes()):
        time.sleep(LOOK_EVERY)
    _end(given.folder, 1)  # a part of Ray has died, and the rest is of no use: whoever needs it starts another one


def _until_closed(folder: str) -> None:
    sys.stdin.buffer.read()
    _end(folder, 0)


def _end(folder: str, code: int) -> NoReturn:
    marks.kill_own()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


if __name__ == "__main__":
    main()
