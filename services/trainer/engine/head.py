"""The embedded Ray of a trainer: `python -m services.trainer.engine.head --cpus N --folder DIR`.

One node on loopback, for the time of its parent: it ends when its standard input is closed. Its address is the first
line on standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading

from services.trainer.engine import loopback, marks


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
    threading.Thread(target=_until_closed, daemon=True).start()
    threading.Event().wait()


def _until_closed() -> None:
    sys.stdin.buffer.read()
    marks.kill_own()
    os._exit(0)


if __name__ == "__main__":
    main()
