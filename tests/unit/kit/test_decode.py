from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2
from google.rpc.context.attribute_context_pb2 import AttributeContext
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.kit.decode import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Digest,
    Labels,
    ModelName,
    ModelRef,
    ModelResource,
    PageSize,
    RelativePath,
    RequestId,
    VersionNumber,
    VersionRef,
    VersionResource,
    decode,
    known_enum,
    to_python,
)
from services.kit.errors import InvalidArgument

Short = Annotated[str, Field(max_length=3)]


class Auth(BaseModel):
    audiences: list[Short] = []
    claims: dict[str, Any] = {}


class Request(BaseModel):
    id: Short
    headers: dict[str, Short] = {}
    time: datetime | None = None
    auth: Auth | None = None


class Context(BaseModel):
    request: Request


def _violations(model: type[BaseModel], message: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        decode(model, message)
    return [(violation.field, violation.description) for violation in caught.value.violations]


def test_a_message_becomes_an_object() -> None:
    claims = Struct()
    claims.update({"a": [1, {"b": None}]})
    moment = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
    message = AttributeContext(
        request=AttributeContext.Request(
            id="x", headers={"h": "v"}, auth=AttributeContext.Auth(audiences=["p", "q"], claims=claims)
        )
    )
    message.request.time.FromDatetime(moment)
    got = decode(Context, message).request
    assert (got.id, got.headers, got.time) == ("x", {"h": "v"}, moment)
    assert got.auth == Auth(audiences=["p", "q"], claims={"a": [1.0, {"b": None}]})


def test_unset_messages_are_absent_and_scalars_are_zero() -> None:
    assert to_python(AttributeContext.Request()) == {
        "id": "", "method": "", "headers": {}, "path": "", "host": "", "scheme": "", "query": "", "size": 0,
        "protocol": "", "reason": "", "origin": "",
    }  # fmt: skip


def test_violations_carry_the_proto_path() -> None:
    message = AttributeContext(
        request=AttributeContext.Request(
            id="long", headers={"k.1": "long"}, auth=AttributeContext.Auth(audiences=["ok", "long"])
        )
    )
    fields = [field for field, _ in _violations(Context, message)]
    assert fields == ["request.id", 'request.headers["k.1"]', "request.auth.audiences[1]"]


def test_a_missing_message_must_be_set() -> None:
    assert _violations(Context, AttributeContext()) == [("request", "must be set")]


def test_repeated_messages_are_indexed() -> None:
    class Item(BaseModel):
        field: Short

    class Items(BaseModel):
        field_violations: list[Item]

    message = error_details_pb2.BadRequest()
    for text in ("a", "b", "much too long"):
        message.field_violations.add(field=text)
    assert [field for field, _ in _violations(Items, message)] == ["field_violations[2].field"]


def test_refused_values_are_not_repeated() -> None:
    message = AttributeContext(request=AttributeContext.Request(id="s3cret" * 1000))
    assert "s3cret" not in str(_violations(Context, message))


def test_a_timestamp_out_of_range_is_refused() -> None:
    message = AttributeContext(request=AttributeContext.Request(id="x", time=Timestamp(seconds=2**62)))
    assert "google.protobuf.Timestamp is out of range" in str(_violations(Context, message))


def test_a_struct_that_json_cannot_hold_is_refused() -> None:
    message = AttributeContext(request=AttributeContext.Request(id="x"))
    message.request.auth.claims.fields["a"].number_value = float("nan")
    assert "google.protobuf.Struct is out of range" in str(_violations(Context, message))


def _ok(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


SHA = "sha256:" + "0a" * 32
HOSTILE = ["", ".", "..", "../x", "a/b", "a\\b", "a\n", "a\x00", 'a"', "a'); os.execute('x", "{}", "A", "ä",
           "a b", "%2e", "-a", "a-", ".a", "a.", "_a", "a" * 64, "a" * 10_000]  # fmt: skip


@pytest.mark.parametrize("name", ["a", "7", "a-b_c.d", "a" * 63, "resnet50.v2"])
def test_model_names(name: str) -> None:
    assert _ok(ModelName, name)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_model_names(name: str) -> None:
    assert not _ok(ModelName, name)
    assert not _ok(ModelResource, f"models/{name}")
    assert not _ok(VersionResource, f"models/{name}/versions/1")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (VersionNumber, [1, 2**31 - 1], [0, -1, 2**31]),
        (Digest, [SHA], ["", SHA.upper(), SHA[:-1], SHA + "0", "md5:" + "0" * 32, SHA + "\n"]),
        (RequestId, ["", "a", "A-1_2.3:4"], ["a b", "a/b", "x" * 65, "a\n"]),
        (RelativePath, ["a", "1/model.onnx", "a b/ü.bin"],
         ["", ".", "..", "/a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\x00b", "a\nb", "x" * 256]),
        (Labels, [{}, {"a": "b", "team.io/x": "Ü"}], [{"A": "b"}, {"a": "x" * 257}, {"a": "\x1b"}, {"": ""},
                                                     {f"k{i}": "" for i in range(65)}]),
    ],
)  # fmt: skip
def test_bounded_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not _ok(kind, value)] == []
    assert [value for value in bad if _ok(kind, value)] == []


@given(st.text())
def test_no_accepted_path_leaves_its_folder(text: str) -> None:
    if _ok(RelativePath, text):
        base = Path("/base/folder")
        assert (base / text).is_relative_to(base)
        assert ".." not in (base / text).parts


@pytest.mark.parametrize(
    ("given_size", "used"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (10**9, MAX_PAGE_SIZE)]
)
def test_page_sizes(given_size: int, used: int) -> None:
    assert TypeAdapter(PageSize).validate_python(given_size) == used
    assert not _ok(PageSize, -1)


def test_enums_by_number() -> None:
    kind = Annotated[int, known_enum(code_pb2.Code)]
    assert _ok(kind, code_pb2.Code.Value("NOT_FOUND"))
    assert not _ok(kind, 0)
    assert not _ok(kind, 99)
    assert _ok(Annotated[int, known_enum(code_pb2.Code, allow_unspecified=True)], 0)


def test_resource_names_round_trip() -> None:
    model = TypeAdapter(ModelResource).validate_python("models/m")
    version = TypeAdapter(VersionResource).validate_python("models/m.1/versions/12")
    assert (model, version) == (ModelRef("m"), VersionRef("m.1", 12))
    assert (str(model), str(version)) == ("models/m", "models/m.1/versions/12")


@pytest.mark.parametrize("number", ["0", "01", "2147483648", "99999999999", "x", "", "1/", "1\n", "-1", "١"])
def test_bad_version_numbers(number: str) -> None:
    assert not _ok(VersionResource, f"models/m/versions/{number}")
