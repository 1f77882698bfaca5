"""Where to connect and with what credentials, and where each of these values was found.

From the strongest to the weakest: what the caller gives, the environment (BMASE_ADDRESS, BMASE_TOKEN, BMASE_CA,
BMASE_CERT, BMASE_KEY), the user's file (`$XDG_CONFIG_HOME/bmase/config.toml`, `~/.config/...` without it), and for the
address the local suite that was started in this directory or one above it (`.bmase/endpoints.json`; only a file of the
user's own or of root, and only an address of this machine).
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from bmase.errors import NotConfigured

NO_ADDRESS = "no gateway address is known"
NO_ADDRESS_HINT = (
    "Start a local suite with `bmase up`, or give --address HOST:PORT "
    "(or BMASE_ADDRESS, or `bmase config set address ...`)."
)
TLS_SCHEMES = ("https://", "grpcs://")
PLAIN_SCHEMES = ("http://", "grpc://")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach the gateway.

    Files are paths to PEM; `tls` is also on when a CA is given or the address says https://.
    """

    address: str = ""
    token: str = field(default="", repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""
    tls: bool = False

    def __post_init__(self) -> None:
        # A token read from a file or a shell often ends in a newline, which no header may.
        object.__setattr__(self, "token", self.token.strip())

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or bool(self.ca) or self.address.startswith(TLS_SCHEMES)

    @property
    def target(self) -> str:
        """The address without its scheme, as gRPC wants it; NotConfigured when there is none or it is not host:port."""
        if not self.address:
            raise NotConfigured(NO_ADDRESS, hint=NO_ADDRESS_HINT)
        bare = self.address
        for scheme in (*TLS_SCHEMES, *PLAIN_SCHEMES):
            bare = bare.removeprefix(scheme)
        bare = bare.rstrip("/")
        if "/" in bare and not bare.startswith("unix:"):
            raise NotConfigured(f"{self.address!r} is not an address", hint="Give HOST:PORT or https://HOST:PORT.")
        return bare if _has_port(bare) else f"{bare}:{443 if self.secure else 8080}"

    def checked(self) -> Settings:
        """The settings themselves; NotConfigured when they would send the token in clear over a network."""
        if self.token and not self.secure and not _loopback(self.target):
            raise NotConfigured(
                f"the token would travel unencrypted to {self.target}",
                hint="Use https://HOST:PORT, or give the server's CA with --ca.",
            )
        return self


def _has_port(bare: str) -> bool:
    return bare.startswith("unix:") or bare.rsplit(":", 1)[-1].isdigit()


def _loopback(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = target.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and for each of their fields where it was found."""

    settings: Settings
    sources: dict[str, str]


def resolve(
    given: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    start: Path | None = None,
) -> Resolved:
    """Looks in all places; values that are None or empty count as not given."""
    environ = os.environ if environ is None else environ
    file = config_file(environ)
    layers: list[tuple[str, Mapping[str, object]]] = [
        ("given", given or {}),
        ("environment", {f.name: environ.get(f"BMASE_{f.name.upper()}") for f in fields(Settings)}),
        (str(file), read_config(file)),
        ("local suite", _local_suite(start or Path.cwd(), environ)),
    ]
    found: dict[str, object] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name in (f.name for f in fields(Settings)):
            if name not in found and layer.get(name) not in (None, ""):
                found[name], sources[name] = layer[name], source
    return Resolved(_typed(found), sources)


def _typed(found: Mapping[str, object]) -> Settings:
    tls = found.get("tls", False)
    on = tls if isinstance(tls, bool) else str(tls).lower() in {"1", "true", "yes", "on"}
    texts = {name: str(value) for name, value in found.items() if name != "tls"}
    return Settings(tls=on, **texts)


def config_file(environ: Mapping[str, str]) -> Path:
    """The user's configuration file, whether it exists or not."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
    return Path(base) / "bmase" / "config.toml"


def read_config(file: Path) -> dict[str, object]:
    """The file's values; empty without a file; NotConfigured when it cannot be read."""
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise NotConfigured(f"{file} cannot be read: {problem}", hint="Correct or remove the file.") from problem


def write_config(file: Path, values: Mapping[str, object]) -> None:
    """Replaces the file; only the owner can read it, since it may hold a token."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # A JSON string or boolean is a TOML one as well.
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    part.replace(file)


def _local_suite(start: Path, environ: Mapping[str, str]) -> dict[str, object]:
    own = environ.get("BMASE_DATA")
    for data in [Path(own)] if own else [folder / ".bmase" for folder in (start, *start.parents)]:
        try:
            return {"address": _local_gateway(data / "endpoints.json")}
        except (OSError, ValueError, AttributeError, NotConfigured):
            continue
    return {}


def _local_gateway(endpoints: Path) -> str:
    """The gateway that a suite on this machine wrote down; ValueError for a file that could be somebody else's.

    A folder above may be anybody's, and the token would follow the address.
    """
    with endpoints.open() as file:
        if os.fstat(file.fileno()).st_uid not in {0, os.geteuid()}:
            raise ValueError(f"{endpoints} belongs to somebody else")
        gateway = str(json.load(file).get("gateway", ""))
    if gateway and not _loopback(Settings(address=gateway).target):
        raise ValueError(f"{endpoints} names no gateway of this machine")
    return gateway
