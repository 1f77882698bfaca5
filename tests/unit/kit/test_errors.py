from __future__ import annotations

import base64

import grpc
import pytest
from bmase.reasons import DOMAIN, Reason
from google.rpc import error_details_pb2, status_pb2

from services.kit.errors import (
    CATALOGUE,
    STATUS_DETAILS_KEY,
    DomainError,
    InvalidArgument,
    Violation,
    code_of,
    from_rpc_error,
    internal,
    to_status,
)


def test_catalogue_is_total_and_says_something() -> None:
    assert set(CATALOGUE) == set(Reason)
    for reason, entry in CATALOGUE.items():
        assert entry.code is not grpc.StatusCode.OK, reason
        assert entry.summary.endswith("."), reason


def test_a_reason_is_its_own_name() -> None:
    assert all(reason.name == reason.value for reason in Reason)


def test_only_internal_is_internal() -> None:
    faults = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
    assert {reason for reason, entry in CATALOGUE.items() if entry.code in faults} == {Reason.INTERNAL}


def _details(status: status_pb2.Status) -> dict[str, object]:
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.LocalizedMessage)
    found: dict[str, object] = {}
    for detail in status.details:
        for kind in kinds:
            message = kind()
            if detail.Unpack(message):
                found[kind.DESCRIPTOR.name] = message
    return found


def test_status_of_a_domain_error() -> None:
    error = DomainError(Reason.MODEL_NOT_FOUND, "no model 'm'", hint="push it", metadata={"model": "m"})
    status = to_status(error)
    details = _details(status)
    assert (status.code, status.message) == (grpc.StatusCode.NOT_FOUND.value[0], "no model 'm'")
    info = details["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("MODEL_NOT_FOUND", DOMAIN, {"model": "m"})
    assert details["LocalizedMessage"].message == "push it"  # type: ignore[attr-defined]
    assert "BadRequest" not in details


def test_status_of_broken_bounds_names_every_field() -> None:
    error = InvalidArgument([Violation("a", "is wrong"), Violation("b[1]", "is wrong too")])
    bad = _details(to_status(error))["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in bad.field_violations] == [("a", "is wrong"), ("b[1]", "is wrong too")]
    assert "a: is wrong; b[1]: is wrong too" in str(error)


def test_a_field_on_any_reason_becomes_a_violation() -> None:
    status = to_status(DomainError(Reason.PAGE_TOKEN_INVALID, "is of another list", field="page_token"))
    bad = _details(status)["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == "page_token"


def test_headers_stay_below_the_limit_of_peers() -> None:
    error = InvalidArgument([Violation("f" * 10_000, "d" * 10_000) for _ in range(1_000)])
    error.hint = "h" * 100_000
    error.metadata = {f"key{i}": "v" * 100_000 for i in range(100)}
    status = to_status(error)
    assert len(base64.b64encode(status.SerializeToString())) + len(status.message) < 8_000


def _rpc_error(code: grpc.StatusCode, trailing: bytes | None) -> grpc.aio.AioRpcError:
    pairs = [] if trailing is None else [(STATUS_DETAILS_KEY, trailing)]
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*pairs), "text")


def test_an_error_survives_the_wire() -> None:
    sent = DomainError(Reason.VERSION_IN_USE, "in use", hint="wait", metadata={"by": "route"}, field="version")
    got = from_rpc_error(_rpc_error(code_of(sent), to_status(sent).SerializeToString()))
    assert got is not None
    assert (got.reason, got.message, got.hint, got.metadata) == (sent.reason, "in use", "wait", {"by": "route"})
    assert got.violations == sent.violations


@pytest.mark.parametrize("trailing", [None, b"\xff\xff", status_pb2.Status(code=5).SerializeToString()])
def test_foreign_errors_are_not_taken_for_ours(trailing: bytes | None) -> None:
    assert from_rpc_error(_rpc_error(grpc.StatusCode.NOT_FOUND, trailing)) is None


def test_internal_says_only_the_trace() -> None:
    status = to_status(internal("abc"))
    info = _details(status)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"trace_id": "abc"}
