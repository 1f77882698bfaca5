"""What a Ray cluster has: `python -m services.trainer.engine.nodes ADDRESS` tells it every two seconds, as JSON.

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
from typing import Any

import ray

from services.trainer.engine import loopback
from services.trainer.engine.reach import refusal

EVERY = 2.0
AT_ONCE = 32  # nodes that are tried


def main() -> None:
    threading.Thread(target=_until_closed, daemon=True).start()
    address = sys.argv[1]
    try:
        _tell(address)
    except Exception as error:
        print(json.dumps({"problem": " ".join(str(error).split())[:500]}), flush=True)


def _tell(address: str) -> None:
    if problem := refusal(address):
        raise ConnectionError(problem)
    loopback.stay(address)
    ray.init(address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    with ThreadPoolExecutor(AT_ONCE) as tried:
        while True:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            # Ray itself misses a node that has died for some fifteen seconds, in which a job would be sent there.
            problems = tried.map(refusal, map(raylet, nodes))
            print(json.dumps({"nodes": _amounts(nodes, list(problems))}), flush=True)
            time.sleep(EVERY)


def raylet(node: Mapping[str, Any]) -> str:
    """Where the node's own daemon listens."""
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"


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
