"""Live traffic: a few of NVIDIA's own asyncio clients, unchanged, that send held-out digits and keep every answer."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

CLIENTS = 4
USERS = 40  # of those clients: whose bad requests count once in a burst
PAUSE_SECONDS = 0.005  # keeps two cores from being spent on asking alone
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent and answered (monotonic seconds), by which version, right or wrong, or failed."""

    sent: float
    done: float
    version: int
    right: bool
    failure: str = ""
    request_id: str = ""
    digit: int = -1  # what it answered
    label: int = -1  # what was right


class Traffic:
    """Runs in a thread of its own from `start` to `stop`; `answers` only grows."""

    def __init__(self, address: str, model: str, images: np.ndarray, labels: np.ndarray) -> None:
        self._address, self._model = address, model
        self._images, self._labels = images, labels
        self._run_id = secrets.token_hex(4)
        self._count = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic", daemon=True)
        self.answers: list[Answer] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.failure]

    def since(self, moment: float) -> list[Answer]:
        """Answers to requests that were sent after this moment."""
        return [answer for answer in list(self.answers) if answer.sent >= moment]

    def wait(self, enough: Callable[[], bool], what: str) -> None:
        """Until `enough()`; RuntimeError naming `what` when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not enough():
            if time.monotonic() > deadline:
                last = f"; the last failure: {self.failures[-1].failure}" if self.failures else ""
                raise RuntimeError(f"no {what} within {PATIENCE_SECONDS:.0f} s{last}")
            time.sleep(0.01)

    async def _run(self) -> None:
        async with triton.InferenceServerClient(self._address) as client:
            await asyncio.gather(*(self._client(client, number) for number in range(CLIENTS)))

    async def _client(self, client: triton.InferenceServerClient, number: int) -> None:
        for row in itertools.cycle(range(number, len(self._images), CLIENTS)):
            if self._stopping.is_set():
                return
            self.answers.append(await self._ask(client, row))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, client: triton.InferenceServerClient, row: int) -> Answer:
        image = self._images[row : row + 1]
        tensor = triton.InferInput("image", image.shape, "FP32")
        tensor.set_data_from_numpy(image)
        name, label = f"{self._run_id}-{next(self._count)}", int(self._labels[row])
        who = {"x-bmase-client": f"user-{row % USERS}"}
        sent = time.monotonic()
        try:
            result = await client.infer(self._model, [tensor], request_id=name, headers=who, client_timeout=10)
        except InferenceServerException as error:
            return Answer(sent, time.monotonic(), 0, False, str(error), name, label=label)
        digit, version = int(result.as_numpy("digit")[0, 0]), int(result.get_response().model_version)
        return Answer(sent, time.monotonic(), version, digit == label, "", name, digit, label)
