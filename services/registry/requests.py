"""The bounds of every request, field for field as in the proto."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from services.kit.decode import (
    MODEL_NAME_RULE,
    Digest,
    ModelRef,
    ModelResource,
    PageSize,
    PageToken,
    RequestId,
    VersionNumber,
    VersionResource,
    parse_model,
    refuse,
)
from services.registry.versioninput import Description, PlainText, StoredLabels, VersionInput

MAX_SIZE = 2**43  # 8 TiB: above any disk that an artefact could be staged on
ALIAS_RULE = "must be 1 to 63 of a-z, 0-9, '-', begin with a letter, not end with '-', and not be 'latest'"
_ALIAS = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LIKE_A_NUMBER = re.compile(r"v?[0-9]+")


def is_alias(text: str) -> bool:
    """Whether the text can be an alias."""
    return _ALIAS.fullmatch(text) is not None and text != "latest"


def _alias(value: str) -> str:
    if not is_alias(value):
        raise refuse("bound", ALIAS_RULE)
    return value


def _no_number(value: str) -> str:
    if _LIKE_A_NUMBER.fullmatch(value):
        raise refuse("bound", "must not look like a version's number: v2 means version 2 wherever a version is named")
    return value


UPDATABLE = ("description", "labels")


def _update_fields(value: list[str]) -> list[str]:
    if unknown := set(value) - set(UPDATABLE):
        raise refuse("bound", f"{sorted(unknown)[0][:40]!r} cannot be changed; only description and labels can")
    return value


def _what_changes(named: list[str], change: BaseModel | None) -> list[str]:
    """Who names no fields changes those that are set: what was not said stays. Only by name does one become empty."""
    chosen = named or [name for name in UPDATABLE if getattr(change, name, None)]
    if not chosen and change is not None:
        raise refuse("bound", "must name what shall become empty, as neither description nor labels are set")
    return chosen


Alias = Annotated[str, AfterValidator(_alias)]
NewAlias = Annotated[Alias, AfterValidator(_no_number)]
Filter = Annotated[str, Field(max_length=2000)]
UpdateFields = Annotated[list[str], Field(max_length=10), AfterValidator(_update_fields)]


class ModelInput(BaseModel):
    """What a caller may say about a model."""

    name: ModelResource
    description: Description = ""
    labels: StoredLabels = {}
    etag: Annotated[str, Field(max_length=64)] = ""


class CreateModel(BaseModel):
    model: ModelInput
    request_id: RequestId = ""


class ModelNamed(BaseModel):
    """GetModel, UndeleteModel."""

    name: ModelResource


class DeleteModel(ModelNamed):
    etag: Annotated[str, Field(max_length=64)] = ""


class UpdateModel(BaseModel):
    model: ModelInput
    update_fields: UpdateFields

    @field_validator("update_fields")
    @classmethod
    def _settled(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return _what_changes(value, info.data.get("model"))


class Page(BaseModel):
    """What lists have in common."""

    page_size: PageSize
    page_token: PageToken
    filter: Filter
    order_by: Annotated[str, Field(max_length=100)]
    show_deleted: bool


class ListModels(Page):
    pass


def _parent(value: str) -> ModelRef | None:
    return None if value == "models/-" else parse_model(value)


class ListVersions(Page):
    parent: Annotated[ModelRef | None, BeforeValidator(_parent)]


class CreateVersion(BaseModel):
    parent: ModelResource
    version: VersionInput
    request_id: RequestId = ""
    create_model: bool = False


def _version_or_alias(value: str) -> tuple[str, str]:
    model, _, last = value.rpartition("/versions/")
    found = parse_model(model) if model else None
    if found is None or not (last == "latest" or is_alias(last) or re.fullmatch(r"[1-9][0-9]{0,9}", last)):
        raise refuse(
            "bound",
            "must be 'models/{model}/versions/{n}', with a number, an alias or 'latest'; the model " + MODEL_NAME_RULE,
        )
    return found.model, last


class GetVersion(BaseModel):
    """`name` as (model, number or alias or "latest")."""

    name: Annotated[tuple[str, str], BeforeValidator(_version_or_alias)]


class VersionNamed(BaseModel):
    """DeleteVersion, UndeleteVersion."""

    name: VersionResource


class VersionChange(BaseModel):
    name: VersionResource
    description: Description = ""
    labels: StoredLabels = {}


class UpdateVersion(BaseModel):
    version: VersionChange
    update_fields: UpdateFields

    @field_validator("update_fields")
    @classmethod
    def _settled(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return _what_changes(value, info.data.get("version"))


class SetAlias(BaseModel):
    model: ModelResource
    alias: NewAlias
    version: VersionNumber
    expected_version: Annotated[int, Field(ge=-1, le=2**31 - 1)] = 0


class DeleteAlias(BaseModel):
    model: ModelResource
    alias: Alias


class HoldOn(BaseModel):
    """PutHold, DeleteHold."""

    version: VersionResource
    holder: Annotated[PlainText, Field(min_length=1)]


class StartUpload(BaseModel):
    digest: Digest
    size_bytes: Annotated[int, Field(ge=0, le=MAX_SIZE)]


class UploadNamed(BaseModel):
    id: Annotated[str, Field(min_length=1, max_length=128)]


class ArtefactNamed(BaseModel):
    digest: Digest


class ReadArtefact(ArtefactNamed):
    offset: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    length: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0


class CollectGarbage(BaseModel):
    dry_run: bool = False
    min_age_seconds: Annotated[int, Field(ge=0, le=10 * 365 * 86400)] = 0


def _any_model(value: str) -> ModelRef | None:
    return parse_model(value) if value else None


class WatchModels(BaseModel):
    from_revision: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    model: Annotated[ModelRef | None, BeforeValidator(_any_model)] = None
