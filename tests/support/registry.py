"""A real registry process on private data, with SQLite and files unless told otherwise."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from bmase import Client
from bmase.errors import BmaseError, from_rpc
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1 import registry_pb2_grpc

from tests.support.ports import free_port
from tests.support.process import Process

MAX_FILL = 256 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


class Registry:
    """One registry on a fixed random port; it may be stopped or killed and started again with what it had."""

    def __init__(
        self, folder: Path, env: Mapping[str, str] | None = None, small_disk: tuple[str, str] | None = None
    ) -> None:
        """`small_disk` (folder below `data`, size as for tmpfs) puts that folder on a disk that is soon full."""
        self.folder = folder
        self.data = folder / "registry"
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        settings = {
            "BMASE_REGISTRY_LISTEN": self.address,
            "BMASE_REGISTRY_DATA_DIR": str(self.data),
            "BMASE_REGISTRY_GC_INTERVAL_SECONDS": "0",
            "BMASE_CONSUL_URL": "http://127.0.0.1:9",  # nobody: a registry serves without
            **(env or {}),
        }
        command = [sys.executable, "-m", "services.registry"]
        if small_disk is not None:
            command = self._on_small_disk(*small_disk, command)
        self.process = Process(command, folder / "registry.log", name="registry", env=settings, cwd=ROOT)
        self._channel: grpc.Channel | None = None

    def start(self, timeout: float = 60) -> Registry:
        """Starts it and waits until it answers."""
        self.process.start()
        self.process.wait_port(self.port, timeout)
        return self

    def _on_small_disk(self, below: str, size: str, command: list[str]) -> list[str]:
        small = self.data / below
        small.mkdir(parents=True, exist_ok=True)
        private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        script = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
        return [*private, "sh", "-c", script, str(small), *command]

    def inside(self, below: str) -> Path:
        """A folder below `data` as the process sees it, small disks included."""
        return Path(f"/proc/{self.process.pid}/root") / (self.data / below).relative_to("/")

    def fill(self, below: str, leave: int) -> Path:
        """Fills the small disk of a folder but for `leave` bytes; returns the file to remove again."""
        filler = self.inside(below) / "filler"
        filler.touch()
        room = os.statvfs(filler)
        free = room.f_bavail * room.f_frsize
        assert free < MAX_FILL, f"{below} is on no small disk: {free} bytes are free"
        filler.write_bytes(b"x" * max(0, free - leave))
        return filler

    @property
    def stub(self) -> registry_pb2_grpc.RegistryServiceStub:
        """The bare contract, blocking."""
        if self._channel is None:
            # Tries again soon after the server was away, as tests take it away often.
            options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
            self._channel = grpc.insecure_channel(self.address, options)
        return registry_pb2_grpc.RegistryServiceStub(self._channel)

    def client(self) -> Client:
        """The SDK's client, speaking to the registry without a gateway between."""
        return Client(self.address)

    def rss_mb(self, *, peak: bool = False) -> float:
        """Resident memory of the process in MB, now or at its highest."""
        wanted = "VmHWM:" if peak else "VmRSS:"
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        line = next(line for line in status.splitlines() if line.startswith(wanted))
        return int(line.split()[1]) / 1024

    def staged(self) -> int:
        """Bytes in unfinished uploads."""
        return sum(path.stat().st_size for path in (self.data / "uploads").glob("*.part"))

    def wait_staged(self, least: int, timeout: float = 60) -> int:
        """Waits until so many bytes are in unfinished uploads."""
        deadline = time.monotonic() + timeout
        while (there := self.staged()) < least:
            assert time.monotonic() < deadline, f"only {there} of {least} bytes arrived"
            time.sleep(0.002)
        return there

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> None:
        """SIGTERM."""
        self.process.stop()

    def close(self) -> None:
        """Ends it for good."""
        if self._channel is not None:
            self._channel.close()
        self.process.kill()

    def __enter__(self) -> Registry:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


# --- what tests say to it -----------------------------------------------------------------------------------------

PIECE = 1 << 20


def digest_of(raw: bytes) -> str:
    """As the registry writes it."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def pieces(upload: pb.Upload, raw: bytes, offset: int = 0, size: int = PIECE) -> Iterator[pb.WriteArtefactRequest]:
    """The messages of WriteArtefact from an offset on."""
    yield pb.WriteArtefactRequest(upload_id=upload.id, offset=offset)
    for at in range(offset, len(raw), size):
        yield pb.WriteArtefactRequest(data=raw[at : at + size])


def put(stub: registry_pb2_grpc.RegistryServiceStub, raw: bytes) -> str:
    """Uploads an artefact; returns its digest."""
    digest = digest_of(raw)
    upload = stub.StartUpload(pb.StartUploadRequest(digest=digest, size_bytes=len(raw)))
    if not upload.complete:
        upload = stub.WriteArtefact(pieces(upload, raw, upload.offset))
    assert upload.complete
    return digest


def get(stub: registry_pb2_grpc.RegistryServiceStub, digest: str, offset: int = 0, length: int = 0) -> bytes:
    """Downloads an artefact, or a part of it."""
    request = pb.ReadArtefactRequest(digest=digest, offset=offset, length=length)
    return b"".join(message.data for message in stub.ReadArtefact(request))


@dataclass(frozen=True)
class Refusal:
    """How a call failed."""

    code: str
    reason: str
    message: str
    fields: tuple[str, ...]
    error: BmaseError


def refusal(call: Callable[[], object]) -> Refusal:
    """Runs a call that must fail, and says how."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = from_rpc(caught.value)
    fields = tuple(violation.field for violation in error.violations)
    return Refusal(caught.value.code().name, str(error.reason), str(error), fields, error)
