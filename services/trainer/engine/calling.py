"""Calls a job's code and turns whatever happens into what is told."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bmase.reasons import Reason
from bmase.training import Run

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.engine import memory, packing
from services.trainer.engine.attempt import Attempt, Failed, Said
from services.trainer.engine.run import JobRun
from services.trainer.jobs.state import Cause, legible

_OURS = str(Path(__file__).parent)
MIB = 2**20
_SILENT = frozenset({Reason.SERVICE_UNAVAILABLE, Reason.STORE_UNAVAILABLE, Reason.COORDINATION_UNAVAILABLE})


class CodeFailedError(Exception):
    """What the code raised, as it is told."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def call(attempt: Attempt, run: JobRun) -> None:
    """Runs the code to its end; CodeFailedError for whatever it raises, its own exits too."""
    try:
        _main(attempt)(run)
        run.close()
    except MemoryError as error:
        raise CodeFailedError(Failed(cause=Cause.OUT_OF_MEMORY, message=words(error))) from error
    except (Exception, SystemExit) as error:
        raise CodeFailedError(failure(error)) from error


def failure(error: BaseException) -> Failed:
    """As it is told: a store or a service that does not answer is no fault of the job, and another attempt goes on."""
    lost = isinstance(error, DomainError) and unavailable(error)
    return Failed(cause=Cause.WORKER_LOST if lost else Cause.ERROR, message=words(error))


def unavailable(error: DomainError) -> bool:
    """Whether it is worth while to try again."""
    return error.reason in _SILENT


def _main(attempt: Attempt) -> Callable[[Run], None]:
    main = packing.function(attempt.main)
    if (wish := attempt.search) is None:
        return main
    from services.trainer.search import searching  # noqa: PLC0415  Optuna only where something is searched

    return lambda run: searching.train(run, main, wish)


def words(error: BaseException) -> str:
    """The error for its author: a refusal as it is, anything else with where in the code it happened."""
    return legible(_words(error))


def _words(error: BaseException) -> str:
    if isinstance(error, InvalidArgument):
        return "; ".join(f"{each.field}: {each.description}" for each in error.violations)
    if isinstance(error, DomainError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    last = "".join(traceback.format_exception_only(error)).strip()
    if not theirs:
        return last
    where = "".join(traceback.format_list(theirs[-8:]))
    return f"{last}\n{where}".rstrip()


@contextmanager
def guarded(attempt: Attempt, tell_at_once: Callable[[Said], None], end: Callable[[], None]) -> Iterator[None]:
    """From now on this process is ended when it takes more memory than a worker of the job may."""
    limit = attempt.spec.resources.memory_bytes

    def over(now: int) -> None:
        message = f"a worker took {now // MIB} MiB of memory; the job asked for {limit // MIB} MiB for each worker"
        try:
            tell_at_once(Failed(cause=Cause.OUT_OF_MEMORY, message=message))
        finally:
            end()

    memory.guard(limit, over)
    yield


def find_code(attempt: Attempt) -> None:
    """The user's code can be imported from now on."""
    if attempt.code is not None:
        sys.path.insert(0, str(attempt.code))
