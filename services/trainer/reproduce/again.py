"""A version made again: its data checked, its environment built, its training repeated in it, and the two compared.

The platform's own code comes from where this runs. When it is not the recorded one, the training is repeated all the
same and the verdict names the files: whether an upgrade changes versions is what one wants to know then.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.environments import one_at_a_time
from services.trainer.reproduce.data import check_data, sources
from services.trainer.reproduce.environment import Installer, build
from services.trainer.reproduce.heldout import answers
from services.trainer.reproduce.made import RECORD, Made, made_at, without_given
from services.trainer.reproduce.platform import roots
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.runs import Run, read_run
from services.trainer.reproduce.verdict import Verdict, judge

TRAIN = "services.trainer.reproduce.train"
_TAIL = 2000  # characters of what a training that failed said last
# Of the process that asks, these say which Python and which packages are its own.
_OWN = frozenset({"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"})


def _nobody(step: int, message: str) -> None:
    """Progress is nobody's concern."""


@dataclass(frozen=True, slots=True)
class How:
    """`environments`: folder in which environments are built, and found again by their digests. `bundle`: folder with
    the user's code, for versions that have some. `snapshots`: address of the store with data that were kept.
    `told` hears which of the four steps is done.
    """

    environments: Path
    installer: Installer = field(default_factory=Installer)
    bundle: Path | None = None
    snapshots: str = ""
    told: Callable[[int, str], None] = _nobody


STEPS = 4


def reproduce(version: Made, out: Path, how: How) -> Verdict:
    """`out` must not exist; `files` and `evidence` of the second training, and its log, are left there.

    DIGEST_MISMATCH names data or packages that are not the recorded ones any more, ENVIRONMENT_FAILED carries the
    installer's words, TRAINING_FAILED the end of what the training said; InvalidArgument: this version cannot be
    made again here at all.
    """
    record = version.record()
    how.told(0, "reads the recorded data")
    check_data(record, sources(record, how.snapshots))
    how.told(1, "builds the recorded environment")
    folder = environment_folder(record, how.environments)
    with one_at_a_time(folder, lambda text: how.told(1, text)):
        python = build(record.environment, folder, how.installer)
    how.told(2, "trains again")
    made = train(python, record, out, how)
    how.told(3, "compares")
    return compare(version, made)


def environment_folder(record: Record, environments: Path) -> Path:
    return environments / record.environment.digest.removeprefix("sha256:")[:16]


def train(python: Path, record: Record, out: Path, how: How) -> Made:
    """In that interpreter, with the recorded plan's variables, for as long as the job was allowed to take."""
    out.mkdir(parents=True)
    recorded, log = out / RECORD, out / "log.txt"
    recorded.write_text(record.to_json())
    command = [str(python), "-s", "-P", "-m", TRAIN, str(recorded.absolute()), str((out / "made").absolute())]
    if how.bundle is not None:
        command += ["--bundle", str(how.bundle.absolute())]
    if how.snapshots:
        command += ["--snapshots", how.snapshots]
    with log.open("wb") as said:
        try:
            done = subprocess.run(
                command,
                cwd=out,
                env=variables(record, linked(out / "platform")),
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=record.resources.time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _failed(f"it took more than {record.resources.time_limit:g} s, which was its limit", log) from None
    if done.returncode:
        raise _said_last(log) or _failed(f"it ended with {done.returncode}", log)
    return made_at(out / "made")


def linked(folder: Path) -> Path:
    """A folder with nothing in it but the platform's packages: where they lie, others may lie too."""
    folder.mkdir()
    for name, root in roots().items():
        (folder / name).symlink_to(root / name, target_is_directory=True)
    return folder.absolute()


def variables(record: Record, platform: Path) -> dict[str, str]:
    """What the training is started with: this process's variables but its own packages, and the plan's."""
    kept = {name: value for name, value in os.environ.items() if name not in _OWN}
    return {**kept, "PYTHONPATH": str(platform), "PYTHONDONTWRITEBYTECODE": "1", **record.determinism.plan.environment}


def compare(version: Made, made: Made) -> Verdict:
    """By the tolerance that was declared when the version was made. Series and answers count where both have them."""
    record, now = version.record(), made.record()
    paths = without_given(version.paths, made.paths)
    before_series, now_series = version.series(), made.series()
    asked = version.held_out() or made.held_out()
    return judge(
        _run(version, paths, record, before_series if now_series is not None else None, asked),
        _run(made, made.paths, now, now_series if before_series is not None else None, asked),
        record.tolerance,
    )


def _run(made: Made, paths: tuple[str, ...], record: Record, series: Any, asked: Mapping[str, Any]) -> Run:
    return read_run(made.folder, paths, record, series, answers(made.folder, asked))


def _said_last(log: Path) -> DomainError | None:
    """The error that the training itself told, if it did."""
    lines = log.read_bytes().decode("utf-8", "replace").splitlines()
    with suppress(ValueError, KeyError, TypeError, IndexError):
        told = json.loads(lines[-1])
        return DomainError(Reason(told["reason"]), told["error"], hint=told["hint"])
    return None


def _failed(why: str, log: Path) -> DomainError:
    text = log.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
    return DomainError(
        Reason.TRAINING_FAILED,
        f"the recorded training cannot be repeated: {why}; it said last: {text}",
        hint="What is written last is the training's own error.",
    )
