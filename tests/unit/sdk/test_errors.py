"""Errors are read from what travels, and from nothing at all."""

from __future__ import annotations

import re

import pytest
from bmase import errors
from bmase.errors import BmaseError, Conflict, NotFound, Unavailable
from bmase.reasons import Reason

from services.kit.errors import CATALOGUE, DomainError, InvalidArgument, Violation, to_status


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_the_catalogue_arrives_typed(reason: Reason) -> None:
    sent = to_status(DomainError(reason, "what", hint="do this", metadata={"trace_id": "7"}))
    status = CATALOGUE[reason].code.name
    got = errors.from_status(status, sent.message, sent.SerializeToString())
    assert type(got) is errors.BY_STATUS[status]
    assert (got.reason, got.status, got.message, got.hint) == (reason, status, "what", "do this")
    assert got.metadata == {"trace_id": "7"}


def test_fields_that_are_wrong_are_named() -> None:
    sent = to_status(InvalidArgument([Violation("version.files[0].path", "too long"), Violation("parent", "missing")]))
    got = errors.from_status("INVALID_ARGUMENT", sent.message, sent.SerializeToString())
    assert got.field == "version.files[0].path"
    assert [v.field for v in got.violations] == ["version.files[0].path", "parent"]


@pytest.mark.parametrize("details", [b"", b"\xff\xff\xff", b"\x08\x05"])
def test_somebody_elses_error_keeps_its_text(details: bytes) -> None:
    got = errors.from_status("NOT_FOUND", "Request for unknown model", details)
    assert isinstance(got, NotFound)
    assert (got.message, got.reason) == ("Request for unknown model", "NOT_FOUND")


def test_an_error_without_any_text_still_says_something() -> None:
    assert "UNAVAILABLE" in errors.from_status("UNAVAILABLE", "").message
    assert errors.from_status("UNAVAILABLE", "").hint


def test_unknown_statuses_and_reasons_of_a_newer_server_are_kept() -> None:
    assert type(errors.from_status("SOMETHING_NEW", "x")) is BmaseError
    assert errors.from_status("SOMETHING_NEW", "x").status == "SOMETHING_NEW"


def test_the_tree_is_what_exit_codes_and_retries_rely_on() -> None:
    assert issubclass(errors.AlreadyExists, Conflict)
    assert issubclass(errors.ChangedMeanwhile, Conflict)
    assert issubclass(errors.TimedOut, Unavailable)


def test_the_docstring_draws_every_class() -> None:
    classes = [n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, BmaseError)]
    drawn = errors.__doc__ or ""
    assert [name for name in classes if not re.search(rf"\b{name}\b", drawn)] == []
