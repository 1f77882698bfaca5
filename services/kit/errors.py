"""Errors that a service raises, and how they leave it.

    DomainError            knows a Reason and words for the caller
    `-- InvalidArgument    a request that breaks bounds, with one violation a field

Domain code never names a gRPC code: `CATALOGUE` does, once, and a unit test proves it total.
Everything else that is raised is a defect: it is logged with its trace id and leaves as INTERNAL with a fixed text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from bmase.reasons import DOMAIN, Reason
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"
INTERNAL_TEXT = "internal error; the server's log has it under the trace id given in the details"

# Status and details travel in response headers, in base64, and peers refuse headers over 8 KiB.
MAX_MESSAGE, MAX_HINT = 700, 400
MAX_VIOLATIONS, MAX_FIELD, MAX_DESCRIPTION = 8, 100, 150
MAX_METADATA, MAX_METADATA_VALUE = 6, 150


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken bound: the proto path of the field and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a reason means on the wire."""

    code: grpc.StatusCode
    summary: str


class DomainError(Exception):
    """A refusal or failure that the caller can understand and act on."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.metadata = dict(metadata or {})
        self.violations: tuple[Violation, ...] = (Violation(field, message),) if field else ()


class InvalidArgument(DomainError):  # noqa: N818 - named after the status that every client knows
    """The request breaks bounds that hold in any state."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(Reason.INVALID_FIELD, _sentence(violations))
        self.violations = tuple(violations)


def _sentence(violations: Sequence[Violation]) -> str:
    shown = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations[:3])
    rest = len(violations) - 3
    return f"{shown}; and {rest} more" if rest > 0 else shown


_C = grpc.StatusCode

CATALOGUE: dict[Reason, Entry] = {
    Reason.MODEL_NOT_FOUND: Entry(_C.NOT_FOUND, "The model does not exist."),
    Reason.VERSION_NOT_FOUND: Entry(_C.NOT_FOUND, "The model has no such version."),
    Reason.ARTEFACT_NOT_FOUND: Entry(_C.NOT_FOUND, "No artefact with this digest is stored."),
    Reason.UPLOAD_NOT_FOUND: Entry(_C.NOT_FOUND, "The upload does not exist, was finished or has expired."),
    Reason.ALIAS_NOT_FOUND: Entry(_C.NOT_FOUND, "The model has no such alias."),
    Reason.NODE_NOT_FOUND: Entry(_C.NOT_FOUND, "No serving node has this name."),
    Reason.DEPLOYMENT_NOT_FOUND: Entry(_C.NOT_FOUND, "The version is not deployed."),
    Reason.ROUTE_NOT_FOUND: Entry(_C.NOT_FOUND, "The model has no route."),
    Reason.RELEASE_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such release."),
    Reason.COMPARISON_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such comparison."),
    Reason.REFERENCE_NOT_FOUND: Entry(_C.NOT_FOUND, "The version has no reference to compare with."),
    Reason.ALERT_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such alert."),
    Reason.JOB_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such job."),
    Reason.SCHEDULE_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such schedule."),
    Reason.PIPELINE_NOT_FOUND: Entry(_C.NOT_FOUND, "There is no such pipeline."),
    Reason.DATA_NOT_FOUND: Entry(_C.NOT_FOUND, "A file or folder of the data does not exist."),
    Reason.MODEL_EXISTS: Entry(_C.ALREADY_EXISTS, "A model with this name exists."),
    Reason.VERSION_EXISTS: Entry(_C.ALREADY_EXISTS, "The model has this version already; versions never change."),
    Reason.DEPLOYMENT_EXISTS: Entry(_C.ALREADY_EXISTS, "The version is deployed already."),
    Reason.COMPARISON_EXISTS: Entry(_C.ALREADY_EXISTS, "The comparison's name is taken by another."),
    Reason.REFERENCE_EXISTS: Entry(_C.ALREADY_EXISTS, "The version has another reference; references never change."),
    Reason.SCHEDULE_EXISTS: Entry(_C.ALREADY_EXISTS, "The schedule's name is taken by another."),
    Reason.REQUEST_REUSED: Entry(_C.ALREADY_EXISTS, "The request id was used before for another request."),
    Reason.INVALID_FIELD: Entry(_C.INVALID_ARGUMENT, "A field of the request breaks its bounds."),
    Reason.INVALID_MODEL_FILE: Entry(_C.INVALID_ARGUMENT, "A file is not what a model of this format must be."),
    Reason.INVALID_DATA: Entry(_C.INVALID_ARGUMENT, "A file of the data is not what its format must be."),
    Reason.UNSAFE_PICKLE: Entry(_C.INVALID_ARGUMENT, "A pickle asks for something that no model of its kind needs."),
    Reason.CONVERSION_FAILED: Entry(_C.INVALID_ARGUMENT, "The foreign model could not be opened or converted."),
    Reason.CONVERSION_DIFFERS: Entry(_C.FAILED_PRECONDITION, "The converted model does not answer as the original."),
    Reason.SIGNATURE_REQUIRED: Entry(_C.INVALID_ARGUMENT, "The signature cannot be read from the files: give it."),
    Reason.PAGE_TOKEN_INVALID: Entry(_C.INVALID_ARGUMENT, "The page token is not one of this list."),
    Reason.REQUEST_TOO_LARGE: Entry(_C.RESOURCE_EXHAUSTED, "The message is larger than the server accepts."),
    Reason.DIGEST_MISMATCH: Entry(_C.FAILED_PRECONDITION, "The content has another digest than announced."),
    Reason.SIZE_MISMATCH: Entry(_C.FAILED_PRECONDITION, "The content has another size than announced."),
    Reason.UPLOAD_OFFSET_MISMATCH: Entry(_C.FAILED_PRECONDITION, "The upload goes on at another offset."),
    Reason.ETAG_MISMATCH: Entry(_C.ABORTED, "The resource was changed since it was read."),
    Reason.REVISION_GONE: Entry(_C.OUT_OF_RANGE, "The changes after this revision are not kept any more."),
    Reason.VERSION_IN_USE: Entry(_C.FAILED_PRECONDITION, "Something refers to the version."),
    Reason.VERSION_NOT_DEPLOYED: Entry(_C.FAILED_PRECONDITION, "The version is not ready on any node."),
    Reason.VERSION_IN_ROUTE: Entry(_C.FAILED_PRECONDITION, "The version still takes traffic."),
    Reason.RELEASE_ACTIVE: Entry(_C.FAILED_PRECONDITION, "A release moves the traffic of this model."),
    Reason.RELEASE_ENDED: Entry(_C.FAILED_PRECONDITION, "The release has ended."),
    Reason.JOB_ENDED: Entry(_C.FAILED_PRECONDITION, "The job has ended."),
    Reason.JOB_COMMITTED: Entry(_C.FAILED_PRECONDITION, "The job has asked the registry for its version."),
    Reason.PIPELINE_ENDED: Entry(_C.FAILED_PRECONDITION, "The pipeline has ended."),
    Reason.ENSEMBLE_NOT_BETTER: Entry(
        _C.FAILED_PRECONDITION, "Untouched rows do not say that the ensemble is better than each of its members."
    ),
    Reason.ENSEMBLE_CONTAMINATED: Entry(
        _C.FAILED_PRECONDITION, "A member was trained on rows that are to weigh or to judge the ensemble."
    ),
    Reason.NO_STABLE_VERSION: Entry(_C.FAILED_PRECONDITION, "No version has the traffic that a release could move."),
    Reason.ROUTE_REJECTED: Entry(_C.FAILED_PRECONDITION, "The gateway refused the route; the last one serves."),
    Reason.SANDBOX_UNAVAILABLE: Entry(_C.FAILED_PRECONDITION, "Processes cannot be confined on this machine."),
    Reason.LOAD_FAILED: Entry(_C.FAILED_PRECONDITION, "The serving node could not load the version."),
    Reason.WARMUP_FAILED: Entry(_C.FAILED_PRECONDITION, "The version loaded but failed its warm-up request."),
    Reason.ENVIRONMENT_FAILED: Entry(_C.FAILED_PRECONDITION, "The recorded environment cannot be built here."),
    Reason.TRAINING_FAILED: Entry(_C.FAILED_PRECONDITION, "The recorded training cannot be repeated here."),
    Reason.NOT_LEADER: Entry(_C.UNAVAILABLE, "Another instance leads; try again."),
    Reason.NO_CAPACITY: Entry(_C.RESOURCE_EXHAUSTED, "No node has room for the version."),
    Reason.STORAGE_FULL: Entry(_C.RESOURCE_EXHAUSTED, "The disk or the store is full."),
    Reason.OVERLOADED: Entry(_C.RESOURCE_EXHAUSTED, "The server runs as many calls as it may."),
    Reason.STORE_UNAVAILABLE: Entry(_C.UNAVAILABLE, "The database or blob store does not answer."),
    Reason.COORDINATION_UNAVAILABLE: Entry(_C.UNAVAILABLE, "Consul does not answer."),
    Reason.SERVICE_UNAVAILABLE: Entry(_C.UNAVAILABLE, "Another service of BMASE does not answer."),
    Reason.DRAINING: Entry(_C.UNAVAILABLE, "The server is shutting down; another instance takes the call."),
    Reason.DEADLINE_EXCEEDED: Entry(_C.DEADLINE_EXCEEDED, "The call took longer than the server allows."),
    Reason.UNAUTHENTICATED: Entry(_C.UNAUTHENTICATED, "The call carries no valid credentials."),
    Reason.PERMISSION_DENIED: Entry(_C.PERMISSION_DENIED, "The caller may not do this."),
    Reason.INTERNAL: Entry(_C.INTERNAL, "A defect of BMASE."),
}


def code_of(error: DomainError) -> grpc.StatusCode:
    """The gRPC code under which the error leaves."""
    return CATALOGUE[error.reason].code


def to_status(error: DomainError) -> status_pb2.Status:
    """The error as `google.rpc.Status` with ErrorInfo, and BadRequest and LocalizedMessage where they say more."""
    status = status_pb2.Status(code=code_of(error).value[0], message=_clip(error.message, MAX_MESSAGE))
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    pairs = list(error.metadata.items())[:MAX_METADATA]
    info.metadata.update({key: _clip(value, MAX_METADATA_VALUE) for key, value in pairs})
    status.details.add().Pack(info)
    if error.violations:
        status.details.add().Pack(_bad_request(error.violations))
    if error.hint:
        status.details.add().Pack(error_details_pb2.LocalizedMessage(locale="en", message=_clip(error.hint, MAX_HINT)))
    return status


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    detail = error_details_pb2.BadRequest()
    for violation in violations[:MAX_VIOLATIONS]:
        detail.field_violations.add(
            field=_clip(violation.field, MAX_FIELD), description=_clip(violation.description, MAX_DESCRIPTION)
        )
    return detail


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def internal(trace_id: str) -> DomainError:
    """What the caller sees of a defect: never the exception's own words."""
    return DomainError(Reason.INTERNAL, INTERNAL_TEXT, metadata={"trace_id": trace_id})


def from_rpc_error(error: grpc.RpcError) -> DomainError | None:
    """The domain error that another BMASE service answered with, or None when the status carries none."""
    status = _status_of(error)
    if status is None:
        return None
    info, bad_request, hint = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.LocalizedMessage(),
    )
    for detail in status.details:
        for message in (info, bad_request, hint):
            detail.Unpack(message)
    if info.domain != DOMAIN or info.reason not in Reason.__members__:
        return None
    found = DomainError(Reason(info.reason), status.message, hint=hint.message, metadata=dict(info.metadata))
    found.violations = tuple(Violation(v.field, v.description) for v in bad_request.field_violations)
    return found


def translated(error: grpc.aio.AioRpcError, service: str) -> DomainError:
    """The other service's own error, or SERVICE_UNAVAILABLE: it does not answer."""
    known = from_rpc_error(error)
    if known is not None:
        return known
    message = f"the {service} does not answer ({error.code().name.lower()})"
    hint = f"Check that the {service} runs (bmase status), then try again."
    return DomainError(Reason.SERVICE_UNAVAILABLE, message, hint=hint)


def _status_of(error: grpc.RpcError) -> status_pb2.Status | None:
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return None
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None
