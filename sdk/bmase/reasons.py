"""The closed list of reasons why a call is refused or fails.

A reason travels in `google.rpc.ErrorInfo.reason` with the domain `bmase`. It is stable: clients may branch on it.
How a reason maps to a gRPC status is the server's business (`services.kit.errors`).
"""

from __future__ import annotations

from enum import StrEnum

DOMAIN = "bmase"


class Reason(StrEnum):
    """Why a call was refused or failed; never renamed, only added to."""

    # Something that was named does not exist.
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    ARTEFACT_NOT_FOUND = "ARTEFACT_NOT_FOUND"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    ALIAS_NOT_FOUND = "ALIAS_NOT_FOUND"
    NODE_NOT_FOUND = "NODE_NOT_FOUND"
    DEPLOYMENT_NOT_FOUND = "DEPLOYMENT_NOT_FOUND"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    RELEASE_NOT_FOUND = "RELEASE_NOT_FOUND"
    COMPARISON_NOT_FOUND = "COMPARISON_NOT_FOUND"
    REFERENCE_NOT_FOUND = "REFERENCE_NOT_FOUND"
    ALERT_NOT_FOUND = "ALERT_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    DATA_NOT_FOUND = "DATA_NOT_FOUND"

    # Something exists already.
    MODEL_EXISTS = "MODEL_EXISTS"
    VERSION_EXISTS = "VERSION_EXISTS"
    DEPLOYMENT_EXISTS = "DEPLOYMENT_EXISTS"
    COMPARISON_EXISTS = "COMPARISON_EXISTS"
    REFERENCE_EXISTS = "REFERENCE_EXISTS"
    REQUEST_REUSED = "REQUEST_REUSED"

    # The request itself is wrong, whatever the state.
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_MODEL_FILE = "INVALID_MODEL_FILE"
    INVALID_DATA = "INVALID_DATA"
    SIGNATURE_REQUIRED = "SIGNATURE_REQUIRED"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105 - a reason, not a password
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"

    # What was sent is not what was announced.
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    UPLOAD_OFFSET_MISMATCH = "UPLOAD_OFFSET_MISMATCH"

    # The present state does not allow it.
    ETAG_MISMATCH = "ETAG_MISMATCH"
    REVISION_GONE = "REVISION_GONE"
    VERSION_IN_USE = "VERSION_IN_USE"
    VERSION_NOT_DEPLOYED = "VERSION_NOT_DEPLOYED"
    VERSION_IN_ROUTE = "VERSION_IN_ROUTE"
    ROUTE_REJECTED = "ROUTE_REJECTED"
    RELEASE_ACTIVE = "RELEASE_ACTIVE"
    RELEASE_ENDED = "RELEASE_ENDED"
    JOB_ENDED = "JOB_ENDED"
    NO_STABLE_VERSION = "NO_STABLE_VERSION"
    LOAD_FAILED = "LOAD_FAILED"
    WARMUP_FAILED = "WARMUP_FAILED"
    ENVIRONMENT_FAILED = "ENVIRONMENT_FAILED"
    TRAINING_FAILED = "TRAINING_FAILED"
    NOT_LEADER = "NOT_LEADER"

    # Something ran out.
    NO_CAPACITY = "NO_CAPACITY"
    STORAGE_FULL = "STORAGE_FULL"
    OVERLOADED = "OVERLOADED"

    # Something that BMASE stands on does not answer, or the server is going away.
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    COORDINATION_UNAVAILABLE = "COORDINATION_UNAVAILABLE"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    DRAINING = "DRAINING"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"

    # Who is calling.
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"

    # A defect of ours; the metadata carry the trace id to look up in the logs.
    INTERNAL = "INTERNAL"
