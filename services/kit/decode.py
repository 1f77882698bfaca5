"""From a protobuf request to a checked pydantic object, and the types that bound its fields.

The bounds of a request are declared once, in pydantic models whose fields are named as in the proto. A broken bound
becomes `InvalidArgument` with the proto path of the field, for example `version.files[2].digest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple, TypeVar

from google.protobuf import duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from services.kit.errors import InvalidArgument, Violation

ModelT = TypeVar("ModelT", bound=BaseModel)

# The runtime has two implementations of descriptors with one interface and no common type.
Descriptor = Any
FieldDescriptor = Any

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_LABELS = 64


def decode(model: type[ModelT], request: Message) -> ModelT:
    """The request as `model`; raises InvalidArgument naming every field that breaks its bounds."""
    try:
        return model.model_validate(to_python(request))
    except ValidationError as error:
        raise InvalidArgument(violations_of(error, request.DESCRIPTOR)) from None


def violations_of(error: ValidationError, descriptor: Descriptor) -> list[Violation]:
    """Pydantic's findings in the words of the proto; the refused value is never repeated."""
    return [
        Violation(field_path(item["loc"], descriptor), _describe(item["type"], item["msg"]))
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _describe(kind: str, message: str) -> str:
    if kind == "missing":
        return "must be set"
    return message.removeprefix("Value error, ")


# --- protobuf to plain Python ------------------------------------------------------------------------------------

_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    timestamp_pb2.Timestamp.DESCRIPTOR.full_name: lambda m: m.ToDatetime(tzinfo=UTC),
    duration_pb2.Duration.DESCRIPTOR.full_name: lambda m: m.ToTimedelta(),
    struct_pb2.Struct.DESCRIPTOR.full_name: MessageToDict,
    struct_pb2.Value.DESCRIPTOR.full_name: MessageToDict,
    field_mask_pb2.FieldMask.DESCRIPTOR.full_name: lambda m: list(m.paths),
}


def to_python(message: Message) -> dict[str, Any]:
    """The message as a dict by proto field names.

    A field with presence (message, optional, oneof) that is not set is left out, so that the model's default or its
    "must be set" applies; a plain scalar is always there. Enums stay numbers, bytes stay bytes.
    """
    return {
        field.name: _field(message, field)
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if _is_map(field):
        return {key: _single(item) for key, item in value.items()}
    if field.is_repeated:
        return [_single(item) for item in value]
    return _single(value)


def _single(value: Any) -> Any:
    if not isinstance(value, Message):
        return value
    convert = _WELL_KNOWN.get(value.DESCRIPTOR.full_name)
    if convert is not None:
        return _converted(convert, value)
    if value.DESCRIPTOR.full_name in _WRAPPERS:
        return value.value  # type: ignore[attr-defined]
    return to_python(value)


def _converted(convert: Callable[[Any], Any], value: Message) -> Any:
    try:
        return convert(value)
    except (ValueError, OverflowError, JsonError):
        raise InvalidArgument([Violation("", f"a {value.DESCRIPTOR.full_name} is out of range")]) from None


_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def field_path(loc: tuple[int | str, ...], descriptor: Descriptor) -> str:
    """Pydantic's location as a proto path; steps that are no field (names of validators, of union members) go."""
    path, at, inside_map = "", descriptor, False
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif inside_map and step != "[key]":
            path, inside_map = f'{path}["{step[:63]}"]', False
        elif at is not None and step in at.fields_by_name:
            field = at.fields_by_name[step]
            path += f".{step}" if path else step
            inside_map = _is_map(field)
            at = field.message_type.fields_by_name["value"].message_type if inside_map else field.message_type
    return path


# --- types that bound fields -------------------------------------------------------------------------------------

_MODEL_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LABEL_KEY = re.compile(r"[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def refuse(kind: str, text: str) -> PydanticCustomError:
    """What a validator raises: `text` goes to the caller as it is."""
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _matching(pattern: re.Pattern[str], text: str, value: str) -> str:
    if pattern.fullmatch(value) is None:
        raise refuse("pattern", "must be set: it " + text if not value else text)
    return value


def _pattern(pattern: re.Pattern[str], text: str) -> AfterValidator:
    return AfterValidator(partial(_matching, pattern, text))


MODEL_NAME_RULE = "must be 1 to 63 of a-z, 0-9, '.', '_', '-', and begin and end with a letter or digit"

ModelName = Annotated[str, _pattern(_MODEL_NAME, MODEL_NAME_RULE)]
Digest = Annotated[str, _pattern(_DIGEST, "must be 'sha256:' and 64 hexadecimal digits in lower case")]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


def _request_id(value: str) -> str:
    return (
        value if not value else _matching(_REQUEST_ID, "must be up to 64 of A-Z, a-z, 0-9, '.', '_', ':', '-'", value)
    )


RequestId = Annotated[str, AfterValidator(_request_id)]


def _page_size(value: int) -> int:
    if value < 0:
        raise refuse("page_size", "must not be negative")
    return min(value or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


PageSize = Annotated[int, AfterValidator(_page_size)]
PageToken = Annotated[str, Field(max_length=2048)]


def _labels(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_LABELS:
        raise refuse("labels", f"must have at most {MAX_LABELS} entries")
    for key, text in value.items():
        if _LABEL_KEY.fullmatch(key) is None:
            raise refuse("labels", "keys must be 1 to 63 of a-z, 0-9, '.', '_', '/', '-'")
        if len(text) > 256 or CONTROL.search(text):
            raise refuse("labels", "values must have at most 256 characters and no control characters")
    return value


Labels = Annotated[dict[str, str], AfterValidator(_labels)]


def _relative_path(value: str) -> str:
    path = PurePosixPath(value)
    plain = value and len(value) <= 255 and not CONTROL.search(value) and "\\" not in value
    if not plain or path.is_absolute() or ".." in path.parts or str(path) != value or value == ".":
        raise refuse(
            "relative_path", "must be a relative path of at most 255 characters without '..', '.', '//' or '\\'"
        )
    return value


RelativePath = Annotated[str, AfterValidator(_relative_path)]


def known_enum(enum: Any, *, allow_unspecified: bool = False) -> Any:
    """Annotated int that must be a value of the proto enum: `Annotated[int, known_enum(pb.State)]`."""

    def check(value: int) -> int:
        if value not in enum.values() or (value == 0 and not allow_unspecified):
            names = ", ".join(name for name, number in enum.items() if allow_unspecified or number)
            raise refuse("enum", f"must be one of {names}")
        return value

    return AfterValidator(check)


# --- resource names ----------------------------------------------------------------------------------------------


class ModelRef(NamedTuple):
    """`models/{model}`."""

    model: str

    def __str__(self) -> str:
        return f"models/{self.model}"


class VersionRef(NamedTuple):
    """`models/{model}/versions/{version}`."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"models/{self.model}/versions/{self.version}"


_MODEL_REF = re.compile(rf"models/({_MODEL_NAME.pattern})")
_VERSION_REF = re.compile(rf"models/({_MODEL_NAME.pattern})/versions/([1-9][0-9]{{0,9}})")


def parse_model(name: str) -> ModelRef:
    """`models/{model}` taken apart; raises ValueError that says what is wrong."""
    found = _MODEL_REF.fullmatch(name)
    if found is None:
        raise refuse("model_resource", f"must be 'models/{{model}}'; the model {MODEL_NAME_RULE}")
    return ModelRef(found[1])


def parse_version(name: str) -> VersionRef:
    """`models/{model}/versions/{n}` taken apart; raises ValueError that says what is wrong."""
    found = _VERSION_REF.fullmatch(name)
    if found is None or int(found[3]) > 2**31 - 1:
        raise refuse(
            "version_resource",
            f"must be 'models/{{model}}/versions/{{n}}' with n from 1 to 2147483647; the model {MODEL_NAME_RULE}",
        )
    return VersionRef(found[1], int(found[3]))


def _text_then(parse: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


ModelResource = Annotated[ModelRef, _text_then(parse_model)]
VersionResource = Annotated[VersionRef, _text_then(parse_version)]
