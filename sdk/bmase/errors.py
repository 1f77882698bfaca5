"""What a call raises when it fails.

    BmaseError                 any failure; `status` names the gRPC status, `reason` the cause
    |-- InvalidArgument        the request is wrong in any state; `field` names where
    |-- NotFound               something that was named does not exist
    |-- Conflict               the present state does not allow it
    |   |-- AlreadyExists
    |   |-- PreconditionFailed
    |   `-- ChangedMeanwhile   it was changed since it was read (etag, expected version)
    |-- Denied                 no valid credentials, or not allowed
    |-- Exhausted              no room, no quota, or a message that is too large
    |-- Unavailable            nobody answers; trying again later may help
    |   `-- TimedOut           no answer within the deadline
    |-- Cancelled              the caller gave up
    |-- Internal               a defect of the server, or an answer that makes no sense
    |-- DeploymentFailed       a deployment that was waited for went wrong
    |-- TransferFailed         a file changed under the upload, or a download has another digest
    `-- NotConfigured          the client does not know where to connect, or must not

`reason` is a member of `bmase.reasons.Reason` where the server is BMASE's, and the status' name otherwise (Triton's
and Envoy's own errors carry none).
"""

# ruff: noqa: N818  the names are those of the statuses

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bmase.reasons import DOMAIN

DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken bound: the field's path in the request and what is wrong with it."""

    field: str
    description: str


class BmaseError(Exception):
    """A call that failed, in words and in codes."""

    status = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        status: str = "",
        hint: str = "",
        violations: Iterable[Violation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or type(self).status
        self.reason = reason or self.status
        self.hint = hint
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})

    @property
    def field(self) -> str:
        """The path of the first field that is wrong; empty when the error is not about a field."""
        return self.violations[0].field if self.violations else ""

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})" + (f"\n{self.hint}" if self.hint else "")


class InvalidArgument(BmaseError):
    """The request is wrong whatever the state of the server."""

    status = "INVALID_ARGUMENT"


class NotFound(BmaseError):
    """A model, version, deployment, ... of this name does not exist."""

    status = "NOT_FOUND"


class Conflict(BmaseError):
    """The request is right but the present state does not allow it."""

    status = "FAILED_PRECONDITION"


class AlreadyExists(Conflict):
    """There is one with this name."""

    status = "ALREADY_EXISTS"


class PreconditionFailed(Conflict):
    """Something has to be done first; the hint says what."""

    status = "FAILED_PRECONDITION"


class ChangedMeanwhile(Conflict):
    """Somebody changed it since it was read: read it again."""

    status = "ABORTED"


class Denied(BmaseError):
    """The call carries no valid token, or the caller may not do this."""

    status = "PERMISSION_DENIED"


class Exhausted(BmaseError):
    """No room, no quota, or a message larger than the server takes."""

    status = "RESOURCE_EXHAUSTED"


class Unavailable(BmaseError):
    """Nobody answers at the moment."""

    status = "UNAVAILABLE"


class TimedOut(Unavailable):
    """The deadline passed without an answer."""

    status = "DEADLINE_EXCEEDED"


class Cancelled(BmaseError):
    """The caller gave up."""

    status = "CANCELLED"


class Internal(BmaseError):
    """A defect of the server; `metadata["trace_id"]` finds it in its log."""

    status = "INTERNAL"


class DeploymentFailed(BmaseError):
    """The deployment that was waited for did not become ready."""

    status = "FAILED_PRECONDITION"


class TransferFailed(BmaseError):
    """What was transferred is not what was announced."""

    status = "DATA_LOSS"


class NotConfigured(BmaseError):
    """The client cannot or must not connect with these settings."""

    status = "NOT_CONFIGURED"


BY_STATUS: dict[str, type[BmaseError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "OUT_OF_RANGE": InvalidArgument,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": PreconditionFailed,
    "ABORTED": ChangedMeanwhile,
    "UNAUTHENTICATED": Denied,
    "PERMISSION_DENIED": Denied,
    "RESOURCE_EXHAUSTED": Exhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": TimedOut,
    "CANCELLED": Cancelled,
    "INTERNAL": Internal,
    "DATA_LOSS": TransferFailed,
    "UNIMPLEMENTED": BmaseError,
    "UNKNOWN": BmaseError,
}


def from_rpc(error: Any) -> BmaseError:
    """The error that a failed gRPC call (sync or asyncio) stands for."""
    details = next((value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY), b"")
    return from_status(error.code().name, error.details() or "", details)


def from_status(status: str, text: str, details: bytes = b"") -> BmaseError:
    """The error for a status name, its text, and a serialised `google.rpc.Status` (may be empty or somebody else's)."""
    info, violations, hint, message = _read_details(details)
    kind = BY_STATUS.get(status, BmaseError)
    reason = info.reason if info.domain == DOMAIN else ""
    return kind(
        message or text or f"the server answered {status} without a message",
        reason=reason,
        status=status,
        hint=hint or _HINTS.get(status, ""),
        violations=violations,
        metadata=dict(info.metadata),
    )


def _read_details(details: bytes) -> tuple[Any, list[Violation], str, str]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415  an error is rare, and start-up time is everybody's
    from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415

    info, bad, hint = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.LocalizedMessage(),
    )
    try:
        status = status_pb2.Status.FromString(details)
        for packed in status.details:
            for message in (info, bad, hint):
                packed.Unpack(message)
    except DecodeError:
        return info, [], "", ""
    violations = [Violation(v.field, v.description) for v in bad.field_violations]
    return info, violations, hint.message, status.message


_HINTS = {
    "UNAVAILABLE": "Is the gateway running at this address? `bmase config` shows the address and where it comes from.",
    "UNAUTHENTICATED": "Give a token: --token, BMASE_TOKEN, or `bmase config set token ...`.",
}
