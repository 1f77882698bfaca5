"""Envoy's own message types, taken out of the Envoy binary, which carries their descriptors.

With them a test reads what we write for Envoy exactly as Envoy reads it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

# Fields of FileDescriptorProto; its end in the binary is where no such field follows.
_LENGTH_DELIMITED, _VARINT = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12}, {10, 11, 14}


class EnvoyMessages:
    """Message classes by full name."""

    def __init__(self, binary: Path) -> None:
        with binary.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._pool = descriptor_pool.DescriptorPool()
        self._added: set[str] = set()

    def load(self, *files: str) -> EnvoyMessages:
        """Makes the messages of these .proto files, and of all they import, known."""
        for name in files:
            self._add(name)
        return self

    def message(self, name: str) -> Any:
        """The class of a message."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def _add(self, name: str) -> None:
        if name in self._added:
            return
        self._added.add(name)
        found = self._find(name)
        for dependency in found.dependency:
            self._add(dependency)
        self._pool.Add(found)

    def _find(self, name: str) -> descriptor_pb2.FileDescriptorProto:
        needle = b"\n" + bytes([len(name)]) + name.encode()
        at = self._data.find(needle)
        while at >= 0:
            found = descriptor_pb2.FileDescriptorProto()
            try:
                found.ParseFromString(self._data[at : self._end(at)])
            except DecodeError:
                found.Clear()
            if found.name == name and (found.message_type or found.enum_type or found.extension or found.package):
                return found
            at = self._data.find(needle, at + 1)
        raise LookupError(f"the binary carries no {name}")

    def _end(self, at: int) -> int:
        begin, end = at, at
        for end in self._fields(at):
            if end - begin > 4_000_000:
                break
        return end

    def _fields(self, at: int) -> Iterator[int]:
        """The offset behind each field, as long as fields of a FileDescriptorProto follow."""
        first = at
        while at < len(self._data):
            tag, after = self._varint(at)
            number, wire = tag >> 3, tag & 7
            if wire == 2 and number in _LENGTH_DELIMITED and (number != 1 or at == first):
                length, after = self._varint(after)
                at = after + length
            elif wire == 0 and number in _VARINT:
                _, at = self._varint(after)
            else:
                return
            yield at

    def _varint(self, at: int) -> tuple[int, int]:
        value, shift = 0, 0
        while True:
            byte = self._data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128 or shift > 63:
                return value, at
