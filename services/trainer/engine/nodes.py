"""What a Ray cluster has: `python -m services.trainer.engine.nodes ADDRESS` tells it every two seconds, as JSON.

In a process of its own: whoever is connected to a cluster ends with it. It also ends when its standard input is closed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time

import ray

from services.trainer.engine import loopback

EVERY = 2.0


def main() -> None:
    threading.Thread(target=_until_closed, daemon=True).start()
    loopback.stay(sys.argv[1])
    ray.init(sys.argv[1], log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    while True:
        print(
            json.dumps({node["NodeID"]: _amount(node["Resources"]) for node in ray.nodes() if node["Alive"]}),
            flush=True,
        )
        time.sleep(EVERY)


def _amount(resources: dict[str, float]) -> dict[str, int]:
    return {
        "millicpus": round(resources.get("CPU", 0.0) * 1000),
        "memory_bytes": int(resources.get("memory", 0.0)),
        "gpus": int(resources.get("GPU", 0.0)),
    }


def _until_closed() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
