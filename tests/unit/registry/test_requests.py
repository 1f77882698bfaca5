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


@pytest.mark.parametrize("alias", ["v2", "v0", "v2026", "2", "latest", "Stable", "", "a-"])
def test_what_is_no_alias(alias: str) -> None:
    request = pb.SetAliasRequest(model="models/m", alias=alias, version=1)
    assert fields(requests.SetAlias, request) == ["alias"]


@pytest.mark.parametrize("alias", ["stable", "v2-candidate", "vega", "v", "a1"])
def test_what_is_an_alias(alias: str) -> None:
    assert decode(requests.SetAlias, pb.SetAliasRequest(model="models/m", alias=alias, version=1)).alias == alias


def test_an_alias_like_a_number_from_earlier_can_be_taken_away() -> None:
    assert decode(requests.DeleteAlias, pb.DeleteAliasRequest(model="models/m", alias="v2")).alias == "v2"


@pytest.mark.parametrize(("characters", "refused"), [(60_000, False), (66_000, True)])
def test_parameters_of_a_training_are_bounded(characters: int, refused: bool) -> None:
    version = pb.Version(files=[pb.File(path="model.onnx", digest="sha256:" + "0" * 64)])
    version.lineage.parameters.update({"notes": ["x" * characters]})
    request = pb.CreateVersionRequest(parent="models/m", version=version)
    if refused:
        assert fields(requests.CreateVersion, request) == ["version.lineage.parameters"]
    else:
        assert decode(requests.CreateVersion, request).version.lineage.parameters["notes"]


def with_file(path: str, role: pb.File.Role) -> pb.CreateVersionRequest:
    file = pb.File(path=path, digest="sha256:" + "0" * 64, role=role)
    return pb.CreateVersionRequest(parent="models/m", version=pb.Version(files=[file]))


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("config.pbtxt", pb.File.ROLE_MODEL),
        ("config.pbtxt", pb.File.ROLE_SAMPLE),
        ("model.onnx", pb.File.ROLE_CONFIG),
        ("deep/config.pbtxt", pb.File.ROLE_CONFIG),
        ("config.pbtxt", pb.File.ROLE_EVIDENCE),
    ],
)
def test_a_role_that_does_not_fit_its_path(path: str, role: pb.File.Role) -> None:
    assert fields(requests.CreateVersion, with_file(path, role)) == ["version.files[0].role"]


@pytest.mark.parametrize("role", [pb.File.ROLE_UNSPECIFIED, pb.File.ROLE_CONFIG])
def test_the_configuration_needs_no_role(role: pb.File.Role) -> None:
    assert decode(requests.CreateVersion, with_file("config.pbtxt", role)).version.files[0].role == role


@pytest.mark.parametrize("path", ["card.md", "evidence/card.md"])
def test_evidence_has_a_folder_of_its_own(path: str) -> None:
    made = decode(requests.CreateVersion, with_file(path, pb.File.ROLE_EVIDENCE)).version.files[0]
    assert (made.path, made.role) == ("evidence/card.md", pb.File.ROLE_EVIDENCE)
    request = with_file(path, pb.File.ROLE_EVIDENCE)
    request.version.files.add(path="card.md", digest="sha256:" + "0" * 64)
    assert len(decode(requests.CreateVersion, request).version.files) == 2
    request.version.files.add(path="evidence/card.md", digest="sha256:" + "0" * 64)
    assert fields(requests.CreateVersion, request) == ["version.files"]


def test_a_path_of_evidence_has_room_for_its_folder() -> None:
    assert fields(requests.CreateVersion, with_file("x" * 250, pb.File.ROLE_EVIDENCE)) == ["version.files[0]"]


@pytest.mark.parametrize(("count", "refused"), [(200, False), (201, True)])
def test_evidence_is_bounded(count: int, refused: bool) -> None:
    digest = "sha256:" + "0" * 64
    files = [pb.File(path=f"evidence/{n}.png", digest=digest, role=pb.File.ROLE_EVIDENCE) for n in range(count)]
    version = pb.Version(files=[pb.File(path="model.onnx", digest=digest), *files])
    request = pb.CreateVersionRequest(parent="models/m", version=version)
    if refused:
        assert fields(requests.CreateVersion, request) == ["version.files"]
    else:
        assert len(decode(requests.CreateVersion, request).version.files) == 201


def test_labels_fit_into_their_column_in_any_script() -> None:
    def create(character: str) -> pb.CreateModelRequest:
        labels = {f"k{index}": character * 256 for index in range(64)}
        return pb.CreateModelRequest(model=pb.Model(name="models/m", labels=labels))

    for character in ("x", "é", "数"):
        assert len(decode(requests.CreateModel, create(character)).model.labels) == 64
    assert fields(requests.CreateModel, create("\U0001f600")) == ["model.labels"]
