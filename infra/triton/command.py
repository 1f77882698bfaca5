"""The command line and environment of one Triton server: pure decisions, nothing is started or written here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHM_PREFIX = "bmase_triton_"
# How long Triton 2.51 waits for requests in flight after SIGTERM. From that moment new ones are refused (with
# NOT_FOUND, so whoever stops a server takes it out of the routes first); an idle server is gone after 2-4 s. When the
# time is up it says so, but leaves only when the stuck request ends: a supervisor has to kill it (most after 10 s).
EXIT_TIMEOUT_SECONDS = 8


@dataclass(frozen=True)
class Settings:
    """What an operator chooses about one server."""

    repository: Path
    grpc_port: int
    http_port: int
    metrics_port: int
    host: str = "127.0.0.1"
    models: Sequence[str] = ()
    log_verbose: int = 0
    http: bool = True
    auto_complete: bool = True


def arguments(settings: Settings, backends: Path | None, shm_prefix: str) -> list[str]:
    """Triton's arguments; `backends` is None for a server that brings its own.

    Seen on Triton 2.51 with `--load-model` of a whole and of a broken model:
    - its gRPC and HTTP ports open only after every startup model was tried: whoever is told SERVING finds them loaded;
    - with the default `--exit-on-error=true` one broken model ends the server; with false it is logged and left out;
    - with the default `--strict-readiness=true` one broken model keeps the server "not ready" for good; with false the
      server is ready and only that model is not.
    """
    told = {
        "model-repository": settings.repository,
        "model-control-mode": "explicit",
        "exit-on-error": "false",
        "strict-readiness": "false",
        "exit-timeout-secs": EXIT_TIMEOUT_SECONDS,
        "grpc-address": settings.host,
        "grpc-port": settings.grpc_port,
        "allow-http": str(settings.http).lower(),
        "metrics-address": settings.host,
        "metrics-port": settings.metrics_port,
        "allow-gpu-metrics": "false" if backends else "true",
        "log-verbose": settings.log_verbose,
    }
    if settings.http:
        told |= {"http-address": settings.host, "http-port": settings.http_port}
    if backends:
        told |= {"backend-directory": backends}
    flags = [f"--{name}={value}" for name, value in told.items()]
    if not settings.auto_complete:
        # Triton sleeps for a second after a Python-based backend completed a configuration: 1.6 s a load, 0.4 without.
        flags.append("--disable-auto-complete-config")
    flags.append(f"--backend-config=python,shm-region-prefix-name={shm_prefix}")
    return flags + [f"--load-model={name}" for name in settings.models]


def environment(base: Mapping[str, str], python: Path, libpython: Path) -> dict[str, str]:
    """The server's environment: its Python backend takes the first `python3` on PATH, and libpython from the linker."""
    home = python.parent.parent
    env = {key: value for key, value in base.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    env["VIRTUAL_ENV"] = str(home)
    env["PATH"] = os.pathsep.join(filter(None, (str(home / "bin"), base.get("PATH", ""))))
    env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(libpython), base.get("LD_LIBRARY_PATH", ""))))
    env.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only carries bytes here; a thread a core would cost memory
    env["PYTHONUNBUFFERED"] = "1"
    return env


def startup_models(text: str | None, present: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names to load at start and warnings, from a models file's text (None when there is no file).

    Only names of folders in the repository pass: Triton would read others ("*") as patterns or paths.
    """
    if text is None:
        return [], []
    try:
        listed = json.loads(text)
    except ValueError as error:
        return [], [f"the models file is not JSON ({error}); starting without models"]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        return [], ["the models file is not a list of names; starting without models"]
    there = set(present)
    names = list(dict.fromkeys(name for name in listed if name in there))
    return names, [f"model {name!r} has no folder in the repository; left out" for name in listed if name not in there]


def stale_regions(regions: Sequence[str], alive: Sequence[int]) -> list[str]:
    """Shared-memory regions whose server is gone: a server killed with its children cannot remove them itself."""
    return [name for name in regions if name.startswith(SHM_PREFIX) and _server(name) not in alive]


def orphans(commands: Mapping[int, Sequence[str]]) -> list[int]:
    """Pids of backend processes whose server is gone: one whose server was killed while it loaded waits for ever.

    `commands` has the arguments of every living process by pid; a backend process is told its region by argument.
    """
    regions = {pid: words[2] for pid, words in commands.items() if len(words) > 2 and words[2].startswith(SHM_PREFIX)}
    return [pid for pid, region in regions.items() if _server(region) not in commands]


def _server(region: str) -> int:
    """The pid of the server that a region is named after; -1, which nobody has, for another name."""
    pid = region.removeprefix(SHM_PREFIX).split("_")[0]
    return int(pid) if pid.isdigit() else -1
