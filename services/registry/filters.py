"""What lists of models and versions can be filtered by, in the language of `services.kit.filters`."""

from __future__ import annotations

from bmase.registry.v1 import registry_pb2 as pb

from services.kit.filters import Choices, Fields, Kind

_FORMATS: Choices = {name.removeprefix("FORMAT_").lower(): number for name, number in pb.Format.items() if number}

MODEL_FIELDS: Fields = {
    "name": Kind.TEXT,
    "description": Kind.CONTENT,
    "labels.": Kind.TEXT,
    "alias": Kind.MEMBER,
    "create_time": Kind.TIME,
    "update_time": Kind.TIME,
}
VERSION_FIELDS: Fields = {
    "model": Kind.TEXT,
    "number": Kind.NUMBER,
    "description": Kind.CONTENT,
    "labels.": Kind.TEXT,
    "lineage.": Kind.TEXT,
    "metrics.": Kind.NUMBER,
    "alias": Kind.MEMBER,
    "digest": Kind.TEXT,
    "file": Kind.MEMBER,
    "format": _FORMATS,
    "create_time": Kind.TIME,
}
