"""`python -m infra.triton.launch`: becomes a tritonserver that is ready with its models loaded.

The process replaces itself by the server, so whoever supervises it supervises Triton. Runs on the standard library.

`BMASE_TRITONSERVER=/opt/tritonserver/bin/tritonserver` runs that server instead, with the backends, Python and
libraries of its own image (NVIDIA's, with GPUs: its native ONNX Runtime and TensorRT backends serve the same
repositories). That path is not exercised by this project's tests, which have no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from infra.runtime import RuntimeSetupError, binary, libpython_dir, triton_home, triton_python
from infra.runtime.layout import Layout
from infra.runtime.store import point
from infra.triton import command

BACKENDS = Path(__file__).with_name("backends")
SHM = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives on Linux


def main(words: list[str] | None = None) -> NoReturn:
    """Replaces this process by the server; comes back only to say what is wrong."""
    options = _parser().parse_args(words)
    try:
        program, arguments, env = prepare(options)
    except (RuntimeSetupError, OSError) as error:
        sys.exit(f"error: {error}")
    os.execve(program, [str(program), *arguments], env)  # noqa: S606 - no shell is what is wanted


def prepare(options: argparse.Namespace) -> tuple[Path, list[str], dict[str, str]]:
    """Program, arguments and environment; makes the repository folder, links backends, clears what the dead left."""
    repository: Path = options.repository.absolute()
    repository.mkdir(parents=True, exist_ok=True)
    _clear_leftovers()
    settings = command.Settings(
        repository=repository,
        grpc_port=options.grpc_port,
        http_port=options.http_port,
        metrics_port=options.metrics_port,
        host=options.host,
        models=_models(options.models_file, repository),
        log_verbose=options.log_verbose,
        http=not options.no_http,
        auto_complete=not options.no_auto_complete,
    )
    prefix = f"{command.SHM_PREFIX}{os.getpid()}_"  # exec keeps the pid
    if own := os.environ.get("BMASE_TRITONSERVER"):
        return Path(own), command.arguments(settings, options.backends, prefix), dict(os.environ)
    backends = merged_backends(options.backends or BACKENDS)
    env = command.environment(os.environ, triton_python(), libpython_dir())
    return binary("tritonserver"), command.arguments(settings, backends, prefix), env


def merged_backends(extra: Path) -> Path:
    """One folder with Triton's own backends and those in `extra`, as links: Triton looks in a single place."""
    digest = hashlib.sha256(str(extra.absolute()).encode()).hexdigest()[:12]
    merged = Layout.current().runtime / "backends" / digest
    sources = [*(triton_home() / "backends").iterdir(), *extra.absolute().iterdir()]
    for source in (s for s in sources if s.is_dir() and not s.name.startswith(("_", "."))):
        point(merged / source.name, source)
    return merged


def _models(file: Path | None, repository: Path) -> list[str]:
    text = file.read_text(encoding="utf-8") if file and file.exists() else None
    names, warnings = command.startup_models(text, [p.name for p in repository.iterdir() if p.is_dir()])
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    return names


def _clear_leftovers() -> None:
    commands = {int(entry.name): _words(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    for pid in command.orphans(commands):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # ended by itself, or another user's
            os.kill(pid, signal.SIGKILL)
    for name in command.stale_regions([p.name for p in SHM.iterdir()], list(commands)):
        with contextlib.suppress(PermissionError):
            (SHM / name).unlink(missing_ok=True)


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.triton.launch", description="Start one Triton server.")
    parser.add_argument("--repository", type=Path, required=True, help="model repository; made when absent")
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--metrics-port", type=int, required=True)
    parser.add_argument("--models-file", type=Path, help="JSON list of the models to have loaded before the ports open")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--log-verbose", type=int, default=0)
    parser.add_argument(
        "--backends", type=Path, help="folder of backends beside Triton's own (default: this project's)"
    )
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument(
        "--no-auto-complete", action="store_true", help="four times faster loads; needs whole configurations"
    )
    return parser


if __name__ == "__main__":
    main()
