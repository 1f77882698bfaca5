"""A real S3 service: SeaweedFS with one identity that may do everything and one that may only read."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from infra.runtime import binary, ensure
from tests.support.ports import free_ports
from tests.support.process import Process, accepts

REGION = "us-east-1"


@dataclass(frozen=True)
class Identity:
    """Credentials of one S3 user."""

    key: str
    secret: str

    @classmethod
    def new(cls) -> Identity:
        """Random credentials."""
        return cls(secrets.token_hex(8), secrets.token_hex(16))


class SeaweedFS:
    """One server with all its parts; `endpoint`, `admin` and `reader` are what S3 clients need."""

    def __init__(self, folder: Path) -> None:
        ensure(["seaweedfs"])
        folder.mkdir(parents=True, exist_ok=True)
        self.admin, self.reader = Identity.new(), Identity.new()
        self.data = folder / "seaweedfs-data"
        self._config = folder / "s3.json"
        self._config.write_text(json.dumps(self._identities()), encoding="utf-8")
        # Left alone, each gRPC port is its HTTP port + 10000, which may be taken or no port at all.
        parts = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(parts))
        self._ports = {f"{part}.port": port for part, port in zip(parts, ports[::2], strict=True)}
        self._ports |= {f"{part}.port.grpc": port for part, port in zip(parts, ports[1::2], strict=True)}
        self.port = self._ports["s3.port"]
        self.process = Process(self._command(), folder / "seaweedfs.log", name="seaweedfs")

    @property
    def endpoint(self) -> str:
        """URL of the S3 API."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, timeout: float = 60) -> SeaweedFS:
        """Starts it (again, with the data it had) and waits until objects can be written."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process.start()
        self.process.wait_until(self._writable, "writable bucket", timeout)
        return self

    def new_bucket(self) -> str:
        """Makes an empty bucket and returns its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self, identity: Identity | None = None):  # type: ignore[no-untyped-def]  # boto3 makes clients at run time
        """A boto3 S3 client."""
        import boto3  # noqa: PLC0415 - slow to import, and only S3 tests need it
        from botocore.config import Config  # noqa: PLC0415

        who = identity or self.admin
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=who.key,
            aws_secret_access_key=who.secret,
            region_name=REGION,
            config=Config(
                s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=2, read_timeout=30
            ),
        )

    def stop(self) -> None:
        """Ends it; its data stay."""
        self.process.stop(timeout=5)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def _writable(self) -> bool:
        """The ports open before a volume can be assigned, so only a write proves it."""
        if not accepts(self.port):
            return False
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        client = self.client()
        try:
            client.create_bucket(Bucket="probe")
        except (BotoCoreError, ClientError) as error:
            if "BucketAlreadyExists" not in str(error) and "BucketAlreadyOwnedByYou" not in str(error):
                return False
        try:
            client.put_object(Bucket="probe", Key="probe", Body=b"probe")
        except (BotoCoreError, ClientError):
            return False
        return True

    def _identities(self) -> dict[str, object]:
        granted = ((self.admin, "admin", ["Admin"]), (self.reader, "reader", ["Read", "List"]))
        return {
            "identities": [
                {"name": name, "credentials": [{"accessKey": who.key, "secretKey": who.secret}], "actions": actions}
                for who, name, actions in granted
            ]
        }

    def _command(self) -> list[str]:
        flags = {
            "dir": self.data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3": "true",
            "s3.config": self._config,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 1000,  # every bucket takes seven
            "volume.minFreeSpacePercent": 0,
            "master.telemetry": "false",
            **self._ports,
        }
        return [str(binary("weed")), "-logtostderr=true", "server", *(f"-{k}={v}" for k, v in flags.items())]

    def __enter__(self) -> SeaweedFS:
        return self if self.process.alive else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
