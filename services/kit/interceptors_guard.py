"""The layers that decide whether a call may run, and for how long."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from bmase.reasons import Reason
from pydantic import SecretStr

from services.kit.errors import DomainError
from services.kit.interceptors import HEALTH, Call

# A closing port kills the calls that grpc has received but not yet handed to us, with CANCELLED, which nobody retries.
# So it closes only after nothing has arrived for a while; clients that heed health or Consul are gone by then.
QUIET_SECONDS = 0.15
QUIET_LIMIT_SECONDS = 2.0

# Time for calls that were ended at the end of the drain to send their last words.
LAST_WORDS_SECONDS = 2.0


class Authenticator(Protocol):
    """Says who calls."""

    async def authenticate(self, call: Call) -> str:
        """The caller's name; raises DomainError(UNAUTHENTICATED)."""
        ...


class Anonymous:
    """Everybody may call; only for servers that nobody else can reach, which the settings see to."""

    async def authenticate(self, call: Call) -> str:
        return ""


class SharedToken:
    """One token for everybody, sent as `authorization: Bearer <token>`."""

    def __init__(self, token: SecretStr) -> None:
        self._expected = token.get_secret_value().encode()

    async def authenticate(self, call: Call) -> str:
        scheme, _, given = call.metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise _unauthenticated("the call carries no bearer token")
        if not hmac.compare_digest(given.strip().encode(), self._expected):
            raise _unauthenticated("the bearer token is not the server's")
        return "token"


def _unauthenticated(message: str) -> DomainError:
    return DomainError(Reason.UNAUTHENTICATED, message, hint="send `authorization: Bearer <token>`; see BMASE_TOKEN")


class Authentication:
    """Asks the authenticator before every call but health checks, which Consul and Envoy make without credentials."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        if call.service != HEALTH:
            call.principal = await self._authenticator.authenticate(call)
        yield


class InFlight:
    """Knows the running calls: bounds their number, gives unary ones a deadline, lets them finish when draining.

    Once draining, every new call is refused, so the number of running ones only falls.
    """

    def __init__(self, call_seconds: float, max_calls: int) -> None:
        self._call_seconds = call_seconds
        self._max_calls = max_calls
        self._scopes: dict[Call, asyncio.Timeout] = {}
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._last_arrival = -math.inf

    def __len__(self) -> int:
        return self._working

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        if not call.plumbing:
            self._admit(call)
        try:
            async with asyncio.timeout(self._deadline(call)) as scope:
                self._enter(call, scope)
                try:
                    yield
                finally:
                    self._leave(call)
        except TimeoutError:
            if not scope.expired():
                raise
            raise _going() if self._draining else _too_long(self._call_seconds) from None

    def _admit(self, call: Call) -> None:
        self._last_arrival = call.started
        if self._draining:
            raise _going()
        if len(self) >= self._max_calls:
            raise _overloaded(self._max_calls)

    def _deadline(self, call: Call) -> float | None:
        return self._call_seconds if call.unary and call.context.time_remaining() is None else None

    def _enter(self, call: Call, scope: asyncio.Timeout) -> None:
        self._scopes[call] = scope
        self._count(call, 1)

    def _leave(self, call: Call) -> None:
        del self._scopes[call]
        self._count(call, -1)

    def _count(self, call: Call, change: int) -> None:
        """Health checks and reflection are not work: a server that only answers those is idle."""
        self._working += 0 if call.plumbing else change
        if self._working:
            self._idle.clear()
        else:
            self._idle.set()

    async def drain(self, seconds: float) -> int:
        """Refuses new calls, ends watches, waits for the rest, ends what is left; returns how many those were."""
        self._draining = True
        self._end(lambda call: call.endless and not call.plumbing)
        finished = await self._idle_within(seconds)
        left = len(self)
        self._end(lambda _: True)
        if not finished:
            await self._idle_within(LAST_WORDS_SECONDS)
        await self._quiet()
        return left

    async def _quiet(self) -> None:
        limit = time.monotonic() + QUIET_LIMIT_SECONDS
        while (now := time.monotonic()) < min(limit, self._last_arrival + QUIET_SECONDS):  # noqa: ASYNC110 - no event
            await asyncio.sleep(min(limit, self._last_arrival + QUIET_SECONDS) - now)

    def _end(self, which: Callable[[Call], bool]) -> None:
        now = asyncio.get_running_loop().time()
        for call, scope in self._scopes.items():
            if which(call):
                scope.reschedule(now)

    async def _idle_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


def _going() -> DomainError:
    return DomainError(
        Reason.DRAINING, "the server is shutting down", hint="try again: another instance takes the call"
    )


def _overloaded(limit: int) -> DomainError:
    return DomainError(Reason.OVERLOADED, f"the server runs {limit} calls already, as many as it may", hint="try again")


def _too_long(seconds: float) -> DomainError:
    return DomainError(
        Reason.DEADLINE_EXCEEDED,
        f"the call came without a deadline and took longer than the server's {seconds:g} s",
        hint="set a deadline on the call",
    )
