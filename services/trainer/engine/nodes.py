"""What a Ray cluster has: `python -m services.trainer.engine.nodes ADDRESS` tells it twice a second, as JSON.

A line is {"nodes": {node id: amount}}, or {"problem": words} and the end. In a process of its own: whoever is connected
to a cluster ends with it. It also ends when its standard input is closed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

import ray

from services.trainer.engine import loopback
from services.trainer.engine.reach import raylet, refusal

EVERY = 0.5  # shorter than the pause of a job that was lost, which is not to begin again on a node that has died
AT_ONCE = 32  # nodes that are tried


def main() -> None:
    threading.Thread(target=_until_closed, daemon=True).start()
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray prints there when a node dies
        try:
            _tell(sys.argv[1], out)
        except Exception as error:
            _write(out, {"problem": " ".join(str(error).split())[:500]})


def _write(out: TextIO, told: Mapping[str, Any]) -> None:
    out.write(f"{json.dumps(told)}\n")
    out.flush()


def _tell(address: str, out: TextIO) -> None:
    if problem := refusal(address):
        raise ConnectionError(problem)
    loopback.stay(address)
    ray.init(address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    with ThreadPoolExecutor(AT_ONCE) as tried:
        while True:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            # Ray itself misses a node that has died for some fifteen seconds, in which a job would be sent there.
            problems = tried.map(refusal, map(raylet, nodes))
            _write(out, {"nodes": _amounts(nodes, list(problems))})
            time.sleep(EVERY)


def _amounts(nodes: Sequence[Mapping[str, Any]], problems: Sequence[str]) -> dict[str, dict[str, int]]:
    pairs = zip(nodes, problems, strict=True)
    return {node["NodeID"]: _amount(node["Resources"]) for node, problem in pairs if not problem}


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
