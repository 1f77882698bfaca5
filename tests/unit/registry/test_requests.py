"""The bounds of requests, without a registry."""

from __future__ import annotations

from typing import Any

import pytest
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf.message import Message
from pydantic import BaseModel

from services.kit.decode import decode
from services.kit.errors import InvalidArgument
from services.registry import requests


def fields(kind: type[BaseModel], request: Message) -> list[str]:
    """The fields that are refused."""
    with pytest.raises(InvalidArgument) as caught:
        decode(kind, request)
    return [violation.field for violation in caught.value.violations]


def model_update(named: list[str] | None = None, **change: Any) -> pb.UpdateModelRequest:
    return pb.UpdateModelRequest(model=pb.Model(name="models/m", **change), update_fields=named)


def version_update(named: list[str] | None = None, **change: Any) -> pb.UpdateVersionRequest:
    return pb.UpdateVersionRequest(version=pb.Version(name="models/m/versions/1", **change), update_fields=named)


@pytest.mark.parametrize(
    ("kind", "update"), [(requests.UpdateModel, model_update), (requests.UpdateVersion, version_update)]
)
def test_an_update_without_names_changes_what_is_set(kind: Any, update: Any) -> None:
    assert decode(kind, update(labels={"a": "b"})).update_fields == ["labels"]
    assert decode(kind, update(description="x")).update_fields == ["description"]
    assert decode(kind, update(description="x", labels={"a": "b"})).update_fields == ["description", "labels"]
    assert decode(kind, update(["description"], labels={"a": "b"})).update_fields == ["description"]
    assert fields(kind, update()) == ["update_fields"]
    assert fields(kind, update(["files"], description="x")) == ["update_fields"]
