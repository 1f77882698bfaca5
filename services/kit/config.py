"""Settings of a service: environment first, then the TOML file that `BMASE_CONFIG` names, then defaults.

For a service with the prefix `BMASE_REGISTRY_` a value is looked up in this order:
`BMASE_REGISTRY_LISTEN`, `BMASE_LISTEN` (common fields only), table `[registry]`, table `[common]`, default.
Nested values use two underscores: `BMASE_TLS__CERT`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

CONFIG_VARIABLE = "BMASE_CONFIG"
COMMON_PREFIX = "BMASE_"
COMMON_TABLE = "common"

_HOST_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

# One gRPC message; larger things are streamed in chunks.
DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class TlsSettings(BaseModel):
    """Certificates of this process; `mutual` also asks callers for a certificate that `ca` signed."""

    model_config = ConfigDict(extra="forbid")

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    mutual: bool = False
    server_name: str = ""  # expected in the certificates of peers, when it is not their address

    @property
    def enabled(self) -> bool:
        """Whether this process serves with TLS."""
        return self.cert is not None

    @property
    def secure_calls(self) -> bool:
        """Whether calls to other services use TLS."""
        return self.enabled or self.ca is not None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("tls.cert and tls.key belong together: set both or none")
        if self.mutual and (self.ca is None or self.cert is None):
            raise ValueError("tls.mutual needs tls.cert, tls.key and tls.ca")
        for name in ("cert", "key", "ca"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"tls.{name}: no file at {path}")
        return self


class ServiceSettings(BaseSettings):
    """What every service needs to run; a service adds its own fields and sets `env_prefix="BMASE_<SERVICE>_"`."""

    model_config = SettingsConfigDict(env_prefix=COMMON_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    listen: str = Field(default="127.0.0.1:0", description="host:port of the gRPC server; port 0 takes any")
    advertise: str = Field(default="", description="host:port that others dial, when it is not `listen`")
    metrics_listen: str = Field(default="127.0.0.1:0", description="host:port of `/metrics`")
    consul_url: str = Field(default="http://127.0.0.1:8500", description="the local Consul agent")
    consul_token: SecretStr | None = Field(default=None, description="its policy has to cover the prefix `bmase/`")
    consul_ca: Path | None = Field(default=None, description="PEM of who signed Consul's certificate (https only)")
    data_dir: Path = Field(default=Path(), description="what the program keeps; default `.bmase/<program>`")
    instance: str = Field(
        default="",
        max_length=128,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="unique among living processes and the same after a restart; default `<program>-<host>`",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")
    log_format: Literal["json", "console"] = Field(default="json", description="`console` is for people")
    otlp_endpoint: str = Field(default="", description="where traces go by OTLP/gRPC; empty: nowhere")
    drain_seconds: float = Field(default=10.0, ge=0, le=3600, description="for running calls to end at a stop")
    call_seconds: float = Field(default=30.0, gt=0, le=3600, description="deadline of unary calls that have none")
    max_calls: int = Field(default=500, ge=1, description="calls at once, watches included; more are refused")
    max_message_bytes: int = Field(
        default=DEFAULT_MAX_MESSAGE_BYTES, ge=64 * 1024, le=2**31 - 1, description="of one gRPC message"
    )
    tls: TlsSettings = Field(default_factory=TlsSettings, description="`cert`, `key`, `ca`, `mutual`, `server_name`")
    token: SecretStr | None = Field(default=None, description="bearer token of callers, 16 characters or more")

    @classmethod
    def service(cls) -> str:
        """The service's name, taken from the environment prefix: `BMASE_REGISTRY_` is `registry`."""
        prefix = str(cls.model_config.get("env_prefix", ""))
        return prefix.removeprefix(COMMON_PREFIX).strip("_").lower().replace("_", "-") or "service"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, own environment, common environment, file."""
        return init_settings, env_settings, _CommonEnvironment(settings_cls), _file_source(settings_cls, cls.service())

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        # The instance's name survives restarts, so that the instance owns the same keys and files afterwards.
        own = {"instance": _HOST_UNSAFE.sub("-", f"{cls.service()}-{socket.gethostname()}"[:128])}
        own["data_dir"] = str(Path(".bmase") / cls.service())
        return {**values, **{key: value for key, value in own.items() if not values.get(key)}}

    @field_validator("listen", "metrics_listen", "advertise")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        # A token read from a file often ends in a newline, which callers do not send.
        token = value.get_secret_value().strip() if value is not None else ""
        if not token:
            return None
        if len(token) < 16 or not token.isascii():
            raise ValueError("a token has at least 16 ASCII characters")
        return SecretStr(token)

    @model_validator(mode="after")
    def _safe_to_expose(self) -> Self:
        host, _ = split_address(self.listen)
        if is_loopback(host):
            return self
        if not self.tls.enabled or (self.token is None and not self.tls.mutual):
            raise ValueError(
                f"listen={self.listen} is reachable from other machines: set tls.cert and tls.key, and a token or "
                "tls.mutual, or listen on 127.0.0.1"
            )
        if is_wildcard(host) and not self.advertise:
            raise ValueError(f"listen={self.listen} names no address that others can dial: set advertise=host:port")
        return self

    def advertised(self, port: int) -> tuple[str, int]:
        """The address under which others reach a server that got `port`."""
        host, listened = split_address(self.advertise or self.listen)
        return host, listened if self.advertise and listened else port


class _CommonEnvironment(EnvSettingsSource):
    """`BMASE_<FIELD>` for the fields that all services share."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_prefix=COMMON_PREFIX)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if field_name not in ServiceSettings.model_fields:
            return None, field_name, False
        return super().get_field_value(field, field_name)


def _file_source(settings_cls: type[BaseSettings], service: str) -> InitSettingsSource:
    path = os.environ.get(CONFIG_VARIABLE, "")
    return InitSettingsSource(settings_cls, read_tables(Path(path), service) if path else {})


def read_tables(path: Path, service: str) -> dict[str, Any]:
    """Values of `[common]` overlaid by those of the service's own table."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{CONFIG_VARIABLE}={path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{CONFIG_VARIABLE}={path} is not valid TOML: {error}") from error
    return {**_table(document, COMMON_TABLE, path), **_table(document, service, path)}


def _table(document: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"{path}: `{name}` must be a table, written [{name}]")
    return table


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port with a port between 0 and 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether the host means every interface."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
