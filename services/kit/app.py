"""Runs one service process: build, wait for a signal, take down in reverse.

A service's `app` holds its composition root:

    async def build(stack: AsyncExitStack) -> None:
        settings = RegistrySettings()
        telemetry = stack.enter_context(telemetry.start(settings))
        ...
        await stack.enter_async_context(GrpcServer(settings, "registry", registrations, telemetry=telemetry))

    def main() -> None:
        run(build)
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.kit.errors import DomainError
from services.kit.telemetry_logs import configure_logs

log = structlog.get_logger(__name__)

Build = Callable[[AsyncExitStack], Awaitable[None]]

# What an operator can put right; anything else is a defect and is shown with its traceback.
_OPERATORS = (DomainError, ValidationError, SettingsError, OSError, ValueError)


class _Failure:
    """The first background task that died takes the process down, instead of leaving it half alive."""

    def __init__(self) -> None:
        self.happened = asyncio.Event()
        self.error: BaseException | None = None

    def report(self, error: BaseException) -> None:
        self.error = self.error or error
        self.happened.set()


_failure: ContextVar[_Failure | None] = ContextVar("bmase_failure", default=None)


def run(build: Build) -> None:
    """Runs a service until SIGTERM or SIGINT and exits with 0, or with 1 when it cannot start or a part of it dies."""
    configure_logs("info", "json")
    sys.exit(asyncio.run(serve(build)))


async def serve(build: Build) -> int:
    """The body of `run`: the exit code."""
    life = _Life()
    failure = _Failure()
    _failure.set(failure)
    with _signals(life.asked):
        try:
            async with AsyncExitStack() as stack:
                if await life.built(build, stack):
                    log.info("app.started")
                    await _first(life.stop, failure.happened)
                log.info("app.stopping")
        except Exception as error:
            return _crashed(error, life.started)
    log.info("app.stopped")
    return 1 if failure.error else 0


class _Life:
    """Signals before and after the start. All of it is one task, as scopes must end in the task that began them."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.started = False
        self._building: asyncio.Task[Any] | None = None

    def asked(self) -> None:
        if self.stop.is_set():
            raise SystemExit(130)  # asked twice: give up on draining
        self.stop.set()
        if self._building is not None:
            self._building.cancel()

    async def built(self, build: Build, stack: AsyncExitStack) -> bool:
        """Whether building finished; a signal during a long start ends it."""
        self._building = asyncio.current_task()
        try:
            await build(stack)
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            return False
        finally:
            self._building = None
        self.started = True
        return True


def _crashed(error: Exception, started: bool) -> int:
    if started or not isinstance(error, _OPERATORS):
        log.error("app.crashed", exc_info=error)
    if not started:
        print(f"cannot start: {readable(error)}", file=sys.stderr)
    return 1


def supervise(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Runs `work` beside the service until the stack unwinds; if it raises, the process stops with exit code 1."""
    failure = _failure.get()
    task = asyncio.create_task(work, name=name)

    def ended(done: asyncio.Task[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            log.error("app.task_died", task=name, exc_info=error)
            if failure is not None:
                failure.report(error)

    async def cancel() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task

    task.add_done_callback(ended)
    stack.push_async_callback(cancel)
    return task


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


@contextlib.contextmanager
def _signals(asked: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def readable(error: BaseException) -> str:
    """The error in one line, for a person who has to put it right."""
    if isinstance(error, ValidationError):
        return "; ".join(_setting(item) for item in error.errors(include_url=False, include_input=False))
    if isinstance(error, DomainError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return " ".join(str(error).split()) or type(error).__name__


def _setting(item: Any) -> str:
    where = ".".join(str(step) for step in item["loc"])
    text = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = "there is no such setting"
    return f"{where}: {text}" if where else text
