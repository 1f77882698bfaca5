"""The filter language, as text."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import InvalidArgument
from services.kit.filters import Term, parse_filter
from services.registry.filters import MODEL_FIELDS, VERSION_FIELDS


def said(text: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text, VERSION_FIELDS)
    (violation,) = caught.value.violations
    assert violation.field == "filter"
    return violation.description


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ('model="digits"', Term("model", "", "=", "digits")),
        ("model=digits", Term("model", "", "=", "digits")),
        ('  model : "dig*" ', Term("model", "", ":", "dig", prefix=True)),
        ('model="dig*"', Term("model", "", "=", "dig*")),
        ('labels.team/a!="x y"', Term("labels", "team/a", "!=", "x y")),
        (r'description:"say \"hi\" \\ there"', Term("description", "", ":", r'say "hi" \ there')),
        ("metrics.accuracy>=0.9", Term("metrics", "accuracy", ">=", 0.9)),
        ("metrics.top-1<-1e3", Term("metrics", "top-1", "<", -1000.0)),
        ("number>3", Term("number", "", ">", 3.0)),
        ('create_time>"1970-01-01"', Term("create_time", "", ">", 0)),
        ('create_time<="1970-01-01T01:00:00.000001+01:00"', Term("create_time", "", "<=", 1)),
        ("labels.stage:*", Term("labels", "stage", ":", "", prefix=True)),
        ("format=onnx", Term("format", "", "=", 1)),
        ("format!=TRITON", Term("format", "", "!=", 2)),
        ('digest="sha256:ab"', Term("digest", "", "=", "sha256:ab")),
    ],
)
def test_one_term(text: str, term: Term) -> None:
    assert parse_filter(text, VERSION_FIELDS) == (term,)


def test_terms_are_joined_by_and() -> None:
    terms = parse_filter('model:"a*" AND labels.AND="AND"  AND  alias:stable', VERSION_FIELDS)
    assert [term.field for term in terms] == ["model", "labels", "alias"]
    assert parse_filter("", VERSION_FIELDS) == parse_filter("   ", VERSION_FIELDS) == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model", "at character 1"),
        ("model=", "at character 1"),
        ('model="a', "at character 1"),
        ('model="a" alias:b', "at character 10"),
        ('model="a" AND', "at character 10"),
        ('model="a" OR alias:b', "at character 10"),
        ("colour=red", "no field 'colour'"),
        ("labels=x", "no field 'labels'"),
        ("model.x=1", "no field 'model.x'"),
        ("model>a", "is compared by"),
        ("metrics.a:1", "is compared by"),
        ("metrics.a>many", "'many' is not a number"),
        ("metrics.a>inf", "finite"),
        ("create_time>yesterday", "not a time"),
        ("create_time=2026-01-01", "is compared by"),
        ("format:onnx", "is compared by"),
        ("format=onn", "'onn' is no format; known are onnx, triton"),
        ("format=unspecified", "is no format"),
        ("model=" + "x" * 3000, "more than 2000"),
        (" AND ".join(["number>1"] * 21), "more than 20"),
    ],
)
def test_what_makes_no_sense_is_pointed_at(text: str, place: str) -> None:
    assert place in said(text)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(InvalidArgument):
        parse_filter(text, MODEL_FIELDS)


@given(st.text(max_size=40))
def test_any_value_can_be_asked_for(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    (term,) = parse_filter(f'model="{quoted}"', VERSION_FIELDS)
    assert term.value == value
