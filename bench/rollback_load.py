"""The load of `bench.rollback`: so many requests a second, whatever the answers, until its input is closed.

python -m bench.rollback_load ADDRESS MODEL REQUESTS_PER_S

A line for each answer: when it was sent and answered (monotonic), the version (0: an error), OK or what went wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

USERS = 50
CONNECTIONS = 8
DEADLINE_SECONDS = 5.0
WIDTH = 4


async def ask(connection: triton.InferenceServerClient, model: str, number: int) -> None:
    """One request of one of the users; prints what became of it."""
    x = np.full((1, WIDTH), number % 1_000_003, np.float32)
    tensor = triton.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    who = {"x-bmase-client": f"user-{random.randrange(USERS)}"}
    sent, version, status = time.monotonic(), 0, "OK"
    try:
        result = await connection.infer(model, [tensor], headers=who, client_timeout=DEADLINE_SECONDS)
        version = int(result.get_response().model_version)
    except InferenceServerException as error:
        status = f"{error.status()} {error.message()}".replace("\n", " ")
    print(f"{sent:.6f} {time.monotonic():.6f} {version} {status}", flush=True)


async def main(address: str, model: str, rate: float) -> None:
    """Open loop: a slow answer does not hold the next request back."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stopping.set())
    options = [("grpc.use_local_subchannel_pool", 1)]
    connections = [triton.InferenceServerClient(address, channel_args=options) for _ in range(CONNECTIONS)]
    begun, under_way = time.monotonic(), set[asyncio.Task[None]]()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        if stopping.is_set():
            break
        task = asyncio.create_task(ask(connections[number % CONNECTIONS], model, number))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
