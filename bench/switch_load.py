"""The load of `bench.switch`: sends until its input is closed, and writes a line for each answer.

python -m bench.switch_load ADDRESS MODEL CLIENTS
"""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

PAUSE_SECONDS = 0.002
DEADLINE_SECONDS = 10.0
WIDTH = 4


async def client(address: str, model: str, number: int, stopping: asyncio.Event) -> None:
    """One connection, one request at a time."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with triton.InferenceServerClient(address, channel_args=options) as connection:
        count = 0
        while not stopping.is_set():
            count += 1
            x = np.full((1, WIDTH), number * 1000 + count % 997, np.float32)
            sent = time.monotonic()
            version, status = await ask(connection, model, x)
            print(f"{sent:.6f} {time.monotonic():.6f} {version} {status}", flush=True)
            await asyncio.sleep(PAUSE_SECONDS)


async def ask(connection: triton.InferenceServerClient, model: str, x: np.ndarray) -> tuple[int, str]:
    tensor = triton.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    try:
        result = await connection.infer(model, [tensor], client_timeout=DEADLINE_SECONDS)
    except InferenceServerException as error:
        return 0, f"{error.status()} {error.message()}".replace("\n", " ")
    version = int(result.get_response().model_version)
    # Version 1 is y = 2x + 1, version n is y = (n + 1)x - 1: see the rounds of bench.switch.
    right = 2 * x + 1 if version == 1 else (version + 1) * x - 1
    return version, "OK" if np.allclose(result.as_numpy("y"), right) else "WRONG_ANSWER"


async def main(address: str, model: str, clients: int) -> None:
    """All clients, until standard input ends."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stopping.set())
    await asyncio.gather(*(client(address, model, number, stopping) for number in range(clients)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
