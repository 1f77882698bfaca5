"""A real Triton that gets out of the way: two models through our ONNX backend, the small one answered from its cache.

Triton's own response cache answers a repeated request without running the model again. The whole of Triton's ModelInfer
is left (parsing, scheduling, statistics, answering), so what a hop costs is as visible as it can be. 600 KB tensors are
not cached: hashing them takes longer than the model.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from bench.support.h2load import Call
from infra.runtime import binary, ensure, libpython_dir, triton_home, triton_python
from infra.triton import command
from infra.triton.launch import BACKENDS, merged_backends
from tests.support.onnx_models import affine, config_text, write
from tests.support.process import Process
from tests.support.triton import Triton

CACHE_BYTES = 64 << 20
FACTOR, OFFSET = 2.0, 1.0
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Model:
    """y = 2 x + 1 on `width` FP32 numbers."""

    name: str
    width: int
    cached: bool = False

    def request(self, name: str = "") -> service_pb2.ModelInferRequest:
        message = service_pb2.ModelInferRequest(model_name=name or self.name)
        message.inputs.add(name="x", datatype="FP32", shape=[1, self.width])
        message.outputs.add(name="y")
        message.raw_input_contents.append(self._x().tobytes())
        return message

    def check(self, answer: service_pb2.ModelInferResponse) -> None:
        """Fails when the numbers are not the right ones."""
        y = np.frombuffer(answer.raw_output_contents[0], np.float32)
        assert np.allclose(y, FACTOR * self._x() + OFFSET), f"{self.name} answered {y[:4]}..."

    def call(self, folder: Path, address: str, name: str = "") -> Call:
        """The load for this model, by a first request to `address` whose answer is checked."""
        return Call(framed(folder, self.request(name)), self.ask(address, name) + 5)

    def ask(self, address: str, name: str = "") -> int:
        """Two requests, so that what is cached is; the size of the second answer."""
        with grpc.insecure_channel(address, UNLIMITED) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for _ in range(2):
                answer = stub.ModelInfer(self.request(name), timeout=20)
                self.check(answer)
        return answer.ByteSize()

    def write(self, repository: Path, version: int = 1) -> None:
        """Lays it out for Triton."""
        ports = [("x", "FP32", [self.width])], [("y", "FP32", [self.width])]
        cache = f"{{ enable: {str(self.cached).lower()} }}"
        config = config_text(self.name, *ports, dynamic_batching="{ }", response_cache=cache)
        write(repository, self.name, affine(FACTOR, OFFSET, self.width), config, version)

    def _x(self) -> np.ndarray:
        return np.arange(self.width, dtype=np.float32)


SMALL = Model("small", 4, cached=True)
LARGE = Model("large", 150_000)


class BenchTriton(Triton):
    """The project's server with the response cache switched on; `models` are there from the start."""

    def __init__(self, folder: Path, models: Sequence[Model] = (SMALL, LARGE), version: int = 1) -> None:
        super().__init__(folder)
        ensure(["triton"])
        for model in models:
            model.write(self.repository, version)
        settings = command.Settings(
            repository=self.repository,
            grpc_port=self.grpc_port,
            http_port=self.http_port,
            metrics_port=self.metrics_port,
            models=[model.name for model in models],
        )
        words = command.arguments(
            settings, merged_backends(BACKENDS), f"{command.SHM_PREFIX}{os.getpid()}_{self.grpc_port}_"
        )
        words += [f"--cache-config=local,size={CACHE_BYTES}", f"--cache-directory={triton_home() / 'caches'}"]
        env = command.environment(os.environ, triton_python(), libpython_dir())
        self.process = Process([binary("tritonserver"), *words], folder / "triton.log", name="triton", env=env)


def framed(folder: Path, message: service_pb2.ModelInferRequest) -> Path:
    """The message as the body of a gRPC call, in a file."""
    data = message.SerializeToString()
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".grpc", delete=False) as out:
        out.write(struct.pack(">BI", 0, len(data)) + data)
    return Path(out.name)
