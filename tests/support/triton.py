"""A real Triton server on a private repository, started by the project's own launcher."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import tritonclient.grpc as grpc_client

from infra.runtime import ensure
from infra.runtime.layout import CHECKOUT
from infra.triton.command import SHM_PREFIX
from tests.support.ports import free_ports
from tests.support.process import Process, accepts


class Triton:
    """One server; models are added to `repository` and loaded by name.

    `start(models=...)` writes the models file, so that they are loaded before the ports open.
    """

    def __init__(self, folder: Path, name: str = "triton", extra: Sequence[str] = ()) -> None:
        ensure(["triton"])
        self.repository = folder / "repository"
        self.models_file = folder / "models.json"
        self.grpc_port, self.http_port, self.metrics_port = free_ports(3)
        self.process = Process(
            [
                *(sys.executable, "-m", "infra.triton.launch"),
                *("--repository", self.repository, "--models-file", self.models_file),
                *("--grpc-port", str(self.grpc_port), "--http-port", str(self.http_port)),
                *("--metrics-port", str(self.metrics_port), *extra),
            ],
            folder / f"{name}.log",
            name=name,
            cwd=CHECKOUT,
        )

    @property
    def grpc(self) -> str:
        """Address of the gRPC service."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http(self) -> str:
        """Address of the HTTP service, without scheme, as tritonclient takes it."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus metrics are."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    def start(self, models: Sequence[str] | None = None, timeout: float = 60) -> Triton:
        """Starts the server and waits until it says ready; `models` replaces the models file first."""
        if models is not None:
            self.models_file.parent.mkdir(parents=True, exist_ok=True)
            self.models_file.write_text(json.dumps(list(models)), encoding="utf-8")
        self.process.start()
        self.process.wait_until(self.ready, "readiness", timeout)
        self.process.wait_port(self.metrics_port)  # opened last, some 50 ms after gRPC
        return self

    def ready(self) -> bool:
        """True when the server itself says so."""
        if not accepts(self.grpc_port):
            return False
        with grpc_client.InferenceServerClient(self.grpc) as client:
            try:
                return bool(client.is_server_ready(client_timeout=2))
            except grpc_client.InferenceServerException:
                return False

    def client(self) -> grpc_client.InferenceServerClient:
        """A client to be closed by the caller (it is a context manager)."""
        return grpc_client.InferenceServerClient(self.grpc)

    def load(self, model: str) -> None:
        """Loads or reloads a model; raises InferenceServerException with Triton's reason."""
        with self.client() as client:
            client.load_model(model)

    def unload(self, model: str) -> None:
        """Unloads a model."""
        with self.client() as client:
            client.unload_model(model)

    def stop(self) -> None:
        """Ends the server in good order: a second or so for each loaded model."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9 to the server and its children, and what they can then not clear away themselves."""
        self.process.kill()
        for region in Path("/dev/shm").glob(f"{SHM_PREFIX}{self.process.pid}_*"):
            region.unlink(missing_ok=True)
