"""The API reference, from the comments in the protos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from infra.protos import image

HEAD = """# API reference

Generated from `protos/` by `make docs`; do not edit. Every service is reachable at the gateway's address by gRPC and,
where a method shows an HTTP line, by REST with JSON.
Errors carry `google.rpc.ErrorInfo` with a reason (see [errors](errors.md)).
"""
# Field numbers of descriptor.proto, by which comments are addressed.
MESSAGE, ENUM, SERVICE = 4, 5, 6
MEMBER, NESTED_MESSAGE, NESTED_ENUM = 2, 3, 4
Path_ = tuple[int, ...]


class Comments:
    """The comments of one file by the path of what they stand at."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {tuple(location.path): location for location in file.source_code_info.location}

    def at(self, *path: int) -> str:
        """Leading and trailing comment at `path`, as one paragraph; empty if there is none."""
        location = self._by_path.get(path)
        if location is None:
            return ""
        text = f"{location.leading_comments} {location.trailing_comments}"
        return " ".join(text.split())


def reference(files: FileDescriptorSet) -> str:
    """The whole page as Markdown."""
    ours = [f for f in files.file if f.package.startswith("bmase.")]
    return "\n".join([HEAD, *(line for f in ours for line in _file(f))]).rstrip() + "\n"


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = Comments(file)
    yield f"\n## {file.package}\n"
    for index, service in enumerate(file.service):
        yield f"### {service.name}\n"
        yield comments.at(SERVICE, index) + "\n"
        for number, method in enumerate(service.method):
            yield from _method(method, comments.at(SERVICE, index, MEMBER, number))
    for index, message in enumerate(file.message_type):
        yield from _message(message, message.name, comments, (MESSAGE, index))
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, enum.name, comments, (ENUM, index))


def _method(method: MethodDescriptorProto, comment: str) -> Iterator[str]:
    stream_in = "stream " if method.client_streaming else ""
    stream_out = "stream " if method.server_streaming else ""
    yield f"#### {method.name}\n"
    yield f"`{stream_in}{_short(method.input_type)}` → `{stream_out}{_short(method.output_type)}`\n"
    rule = method.options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    if verb:
        yield f"HTTP: `{verb.upper()} {getattr(rule, verb)}`\n"
    if comment:
        yield comment + "\n"


def _message(message: DescriptorProto, name: str, comments: Comments, path: Path_) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield f"### {name}\n"
    if comment := comments.at(*path):
        yield comment + "\n"
    if message.field:
        yield "| field | type | |\n|---|---|---|"
        for index, field in enumerate(message.field):
            yield f"| `{field.name}` | {_type(field, message)} | {comments.at(*path, MEMBER, index)} |"
        yield ""
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, f"{name}.{nested.name}", comments, (*path, NESTED_MESSAGE, index))
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", comments, (*path, NESTED_ENUM, index))


def _enum(enum: EnumDescriptorProto, name: str, comments: Comments, path: Path_) -> Iterator[str]:
    yield f"### {name}\n"
    if comment := comments.at(*path):
        yield comment + "\n"
    yield "| value | |\n|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {comments.at(*path, MEMBER, index)} |"
    yield ""


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    entry = next(
        (n for n in message.nested_type if n.options.map_entry and field.type_name.endswith("." + n.name)), None
    )
    if entry is not None:
        return f"map of `{_scalar(entry.field[0])}` to `{_scalar(entry.field[1])}`"
    many = "list of " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    return f"{many}`{_scalar(field)}`"


def _scalar(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _short(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _short(type_name: str) -> str:
    """`.bmase.registry.v1.Model.Kind` -> `Model.Kind`; well-known types keep their package."""
    parts = type_name.lstrip(".").split(".")
    return ".".join(parts[3:]) if parts[0] == "bmase" else ".".join(parts)


def page() -> str:
    """The page that the present protos give."""
    with tempfile.TemporaryDirectory() as scratch:
        data = image(Path(scratch) / "image.binpb").read_bytes()
    return reference(FileDescriptorSet.FromString(data))
