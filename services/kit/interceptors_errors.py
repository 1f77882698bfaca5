"""The layer that turns what a handler raised into a status."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from bmase.reasons import Reason

from services.kit.errors import STATUS_DETAILS_KEY, DomainError, code_of, from_rpc_error, internal, to_status
from services.kit.interceptors import Call
from services.kit.telemetry import current_trace_id

log = structlog.get_logger(__name__)

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_PEER_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Errors:
    """Domain errors leave with their reason, defects are logged and leave with a fixed text and the trace id."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
            call.ended()
        except grpc.aio.AbortError:
            call.ended()
            raise
        except asyncio.CancelledError:
            call.code = _cancelled(call)
            raise
        except Exception as error:
            await _abort(call, _domain(error, call))


async def _abort(call: Call, error: DomainError) -> None:
    call.code, call.reason = code_of(error), error.reason
    status = to_status(error)
    await call.context.abort(call.code, status.message, ((STATUS_DETAILS_KEY, status.SerializeToString()),))


def _cancelled(call: Call) -> grpc.StatusCode:
    """The client gave up: by its deadline, or by hand. Neither is an error of ours."""
    remaining = call.context.time_remaining()
    return grpc.StatusCode.DEADLINE_EXCEEDED if remaining is not None and remaining <= 0 else grpc.StatusCode.CANCELLED


def _domain(error: Exception, call: Call) -> DomainError:
    if isinstance(error, DomainError):
        return error
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        log.error("grpc.storage_full", method=call.method, exc_info=error)
        return DomainError(Reason.STORAGE_FULL, "no space left on the server's disk", hint="free space and try again")
    if isinstance(error, grpc.aio.AioRpcError):
        return _from_peer(error, call)
    log.error("grpc.unhandled", method=call.method, exc_info=error)
    return internal(current_trace_id())


def _from_peer(error: grpc.aio.AioRpcError, call: Call) -> DomainError:
    """A failed call to another service: its domain error is passed on, its absence is named."""
    known = from_rpc_error(error)
    if known is not None:
        return known
    log.warning("grpc.peer_failed", method=call.method, code=error.code().name, details=error.details())
    if error.code() in _PEER_GONE:
        return DomainError(Reason.SERVICE_UNAVAILABLE, "a service that this call needs does not answer; try again")
    return internal(current_trace_id())
