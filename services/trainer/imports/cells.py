"""Running the process inside from the outside: what it may see, how long it may take, and how much it may say."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.imports import sandbox
from services.trainer.imports.confine import Limits
from services.trainer.imports.request import Request
from services.trainer.imports.sandbox import Interpreter

REQUEST, MODEL, EXAMPLES = "/request.json", "/model", "/examples.npz"
LOG_BYTES = 1 << 20
BLOCK = 1 << 16
# Beyond the limit on the CPU's time: starting, and waiting for a busy machine.
GRACE_SECONDS = 60
PACKAGE = "services.trainer.imports"
MORE_MEMORY = "Its memory is that of the job (`bmase import --memory`), or `memory_gib` where that is given."


@dataclass(frozen=True)
class Task:
    """What is to be done inside, with paths as they are outside. `path` is below `folder`, "." for all of it."""

    request: Request
    folder: Path
    path: str
    examples: Path | None
    most_bytes: int  # that may come out
    code: bool  # whether it may only be done in the sandbox
    module: str = "cell"  # that does it: "cell" opens and converts, "served" asks a converted model


def run(task: Task, work: Path, interpreter: Interpreter | None = None) -> Path:
    """The tar that came out, in `work`, of which nothing was looked at.

    DomainError: SANDBOX_UNAVAILABLE when the format is code and nothing can be confined here; CONVERSION_FAILED when
    the
    process died, took too long or said too much.
    """
    python = interpreter or Interpreter.own()
    refusal = sandbox.available()
    if refusal is not None and task.code:
        raise refusal
    words, env = _confined(task, work, python) if refusal is None else _bare(task, work, python)
    out = work / "answer.tar"
    limits = task.request.limits
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd="/"
        )
    except OSError as error:
        raise DomainError(
            Reason.SANDBOX_UNAVAILABLE, f"the process for the foreign model cannot be started: {error}"
        ) from error
    with process:
        _follow(process, out, task.most_bytes, limits)
    return out


def _confined(task: Task, work: Path, python: Interpreter) -> tuple[list[str], Mapping[str, str]]:
    request = replace(task.request, model=_inside(MODEL, task.path), scratch=sandbox.SCRATCH, filtered=True)
    shown = {task.folder: MODEL, work / "request.json": REQUEST}
    if task.examples is not None:
        request, shown = replace(request, examples=EXAMPLES), {**shown, task.examples: EXAMPLES}
    _written(request, work)
    words = sandbox.command(
        python, ["-m", f"{PACKAGE}.{task.module}", REQUEST], shown, request.limits.scratch_bytes, {}
    )
    return words, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}


def _bare(task: Task, work: Path, python: Interpreter) -> tuple[list[str], Mapping[str, str]]:
    """Without the sandbox, for files that hold no code: still a process of its own with limits and an empty
    environment.
    """
    scratch = work / "scratch"
    scratch.mkdir()
    path = str(task.folder / task.path)
    examples = str(task.examples or "")
    _written(replace(task.request, model=path, scratch=str(scratch), examples=examples, filtered=False), work)
    root = str(sandbox.code_root())
    return [str(python.python), "-m", f"{PACKAGE}.{task.module}", str(work / "request.json")], sandbox.environment(
        str(scratch), root
    )


def _inside(folder: str, path: str) -> str:
    return folder if path == "." else f"{folder}/{path}"


def _written(request: Request, work: Path) -> None:
    path = work / "request.json"
    request.write(path)
    path.chmod(0o644)  # nobody reads it


def _follow(process: subprocess.Popen[bytes], out: Path, most: int, limits: Limits) -> None:
    """Both outputs are read to their bounds; what does not keep to them, or to the time, is killed."""
    over = threading.Event()
    lost: list[OSError] = []
    log = bytearray()
    readers = [
        threading.Thread(target=_take, args=(process.stdout, out, most, over, lost, process), daemon=True),
        threading.Thread(target=_hear, args=(process.stderr, log), daemon=True),
    ]
    for reader in readers:
        reader.start()
    late, seconds = False, limits.seconds + GRACE_SECONDS
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        late = True
        process.kill()  # bubblewrap's: everything inside dies with it
    process.wait()
    for reader in readers:
        reader.join(GRACE_SECONDS)
    words = log.decode("utf-8", "replace")
    sys.stderr.write(words[-4000:])
    if lost:
        raise failed(f"what it sends cannot be kept: {lost[0].strerror}", "Look for room on the trainer's disk.")
    if late:
        raise failed(f"it was still at work after {seconds:.0f} s", "Give it more time with the parameter `seconds`.")
    if over.is_set():
        raise failed(
            f"it sent more than {most >> 20} MiB", "Import it in parts, or convert it where there is more room."
        )
    if process.returncode != 0:
        bounds = f"It may have {limits.memory_bytes / 2**30:.3g} GiB and {limits.seconds} s of the CPU. {MORE_MEMORY}"
        raise failed(_death(process.returncode, words), f"{bounds} `seconds` is a parameter.")


def _take(  # noqa: PLR0917 - the arguments of a thread
    stream: IO[bytes],
    out: Path,
    most: int,
    over: threading.Event,
    lost: list[OSError],
    process: subprocess.Popen[bytes],
) -> None:
    taken = 0
    try:
        with out.open("wb") as file:
            while block := stream.read(BLOCK):
                taken += len(block)
                if taken > most:
                    over.set()
                    process.kill()
                    return
                file.write(block)
    except OSError as error:  # nobody would read on, and the process would wait for that until its time is over
        lost.append(error)
        process.kill()


def _hear(stream: IO[bytes], log: bytearray) -> None:
    """Everything is read, so that nobody blocks; the last of it is kept."""
    while block := stream.read(BLOCK):
        log += block
        del log[:-LOG_BYTES]


def _death(code: int, words: str) -> str:
    last = (words.strip().splitlines() or ["without a word"])[-1][:300]
    # bubblewrap and shells report a signal as 128 and its number.
    signal = -code if code < 0 else code - 128 if code > 128 else 0
    if signal in {24, 9}:
        return "it was killed: it used up its time on the CPU, or the memory of this machine"
    return f"it ended with {f'signal {signal}' if signal else f'exit code {code}'}: {last}"


def failed(what: str, hint: str = "") -> DomainError:
    """The conversion came to nothing."""
    return DomainError(Reason.CONVERSION_FAILED, f"the foreign model could not be converted: {what}", hint=hint)
