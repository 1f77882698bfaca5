"""Load on a model through the gateway: asyncio clients of NVIDIA's own library; every answer and failure is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import grpc
import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

CLIENTS = 4
PAUSE_SECONDS = 0.004
DEADLINE_SECONDS = 5.0
STOP_SECONDS = 15.0
WIDTH = 4
WRONG = "WRONG_ANSWER"
ANOTHER_VERSION = "VERSION_UNKNOWN"


@dataclass(frozen=True)
class Answer:
    """One request; `status` is OK, a gRPC status, or WRONG_ANSWER. Times are monotonic seconds."""

    sent: float
    done: float
    version: int
    status: str
    detail: str = ""


@dataclass
class Load:
    """Continuous requests to one affine model, from entering to leaving the `with`.

    `expected` gives y = a * x + b for each version: an answer that is not that of the version it claims is a failure.
    """

    address: str
    model: str
    expected: Mapping[int, tuple[float, float]]
    clients: int = CLIENTS
    pause: float = PAUSE_SECONDS
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        assert not self._thread.is_alive(), "the load did not stop"

    @property
    def failures(self) -> list[Answer]:
        """Everything that was not the right answer."""
        return [a for a in list(self.answers) if a.status != "OK"]

    def since(self, moment: float) -> list[Answer]:
        """Answers to requests sent after this moment."""
        return [a for a in list(self.answers) if a.sent >= moment]

    def versions(self, since: float = 0.0) -> Counter[int]:
        """Right answers by version."""
        return Counter(a.version for a in self.since(since) if a.status == "OK")

    def wait_for(self, count: int, timeout: float = 60) -> None:
        """Until so many more requests have ended, well or badly."""
        goal = len(self.answers) + count
        self.wait_until(lambda: len(self.answers) >= goal, f"{count} more answers", timeout)

    def wait_until(self, reached: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Until the answers show something."""
        deadline = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < deadline, f"{self.model}: not within {timeout} s: {what}; {self.summary()}"
            time.sleep(0.01)

    def summary(self) -> str:
        """For messages: how many, and for each kind of failure when it happened and an example."""
        answers = list(self.answers)
        if not answers:
            return f"no request to {self.model} was sent"
        begun, ended = answers[0].sent, answers[-1].done
        lines = [f"{len(answers)} requests to {self.model} in {ended - begun:.1f} s"]
        for status, count in Counter(a.status for a in answers).items():
            those = [a for a in answers if a.status == status]
            first, last = those[0].sent - begun, those[-1].done - begun
            lines.append(f"{count} {status} between {first:.2f} s and {last:.2f} s {those[-1].detail}".rstrip())
        return "; ".join(lines)

    def assert_no_failures(self) -> None:
        """Not one."""
        assert self.answers, "the load sent nothing"
        assert not self.failures, self.summary()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        # A connection each: they end up on different workers of the gateway.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with triton.InferenceServerClient(self.address, channel_args=options) as client:
            count = 0
            while not self._stopping.is_set():
                count += 1
                self.answers.append(await self._ask(client, np.float32(number * 1000 + count % 997)))
                await asyncio.sleep(self.pause)

    async def _ask(self, client: triton.InferenceServerClient, value: np.float32) -> Answer:
        x = np.full((1, WIDTH), value, np.float32)
        tensor = triton.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        sent = time.monotonic()
        try:
            result = await client.infer(
                self.model, [tensor], client_timeout=DEADLINE_SECONDS, headers=dict(self.headers) or None
            )
        except InferenceServerException as error:
            return Answer(sent, time.monotonic(), 0, _status(error), error.message())
        except grpc.aio.AioRpcError as error:
            return Answer(sent, time.monotonic(), 0, error.code().name, error.details() or "")
        done = time.monotonic()
        version = int(result.get_response().model_version)
        return Answer(sent, done, version, *self._judge(version, x, result.as_numpy("y")))

    def _judge(self, version: int, x: np.ndarray, y: np.ndarray) -> tuple[str, str]:
        if version not in self.expected:
            return ANOTHER_VERSION, f"answered by version {version}"
        a, b = self.expected[version]
        if np.allclose(y, a * x + b):
            return "OK", ""
        return WRONG, f"version {version} made {y.tolist()} of {x.tolist()}"


def _status(error: InferenceServerException) -> str:
    return str(error.status() or "UNKNOWN").removeprefix("StatusCode.")
