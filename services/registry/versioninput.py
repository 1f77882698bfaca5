"""What a caller may say about a version, and the bounds of it, field for field as in the proto."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Self

from bmase.registry.v1 import registry_pb2 as pb
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator, model_validator

from services.kit.decode import CONTROL, Digest, Labels, RelativePath, VersionRef, known_enum, parse_version, refuse
from services.registry.labels import MAX_LABEL_BYTES, labels_fit
from services.registry.signature import DATATYPES, MAX_NAME, MAX_RANK, MAX_TENSORS
from services.registry.tritonconfig import CONFIG_PATH

MAX_WAIT_US = 10_000_000
MAX_PARAMETERS = 64 * 1024  # bytes of lineage.parameters as JSON: they are answered with every list of versions
MAX_EVIDENCE = 200
EVIDENCE_FOLDER = "evidence/"
MAX_PATH = 255
_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,62}")
_BACKEND = re.compile(r"[a-z0-9_-]{0,63}")


def _plain(value: str) -> str:
    if CONTROL.search(value):
        raise refuse("bound", "must not contain control characters")
    return value


def _storable(value: dict[str, str]) -> dict[str, str]:
    if not labels_fit(value):
        raise refuse("bound", f"must have at most {MAX_LABEL_BYTES} bytes together, as JSON in UTF-8")
    return value


Description = Annotated[str, Field(max_length=4000)]
PlainText = Annotated[str, Field(max_length=255), AfterValidator(_plain)]
StoredLabels = Annotated[Labels, AfterValidator(_storable)]
OptionalDigest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class FileInput(BaseModel):
    path: RelativePath
    digest: Digest
    role: Annotated[int, known_enum(pb.File.Role, allow_unspecified=True)]

    @field_validator("path")
    @classmethod
    def _no_part_of_the_layout(cls, value: str) -> str:
        if any(part.startswith(".") for part in value.split("/")):
            raise refuse("bound", "must have no part that begins with '.'")
        return value

    @field_validator("role")
    @classmethod
    def _fits_the_path(cls, value: int, info: ValidationInfo) -> int:
        is_config = info.data.get("path") == CONFIG_PATH
        if is_config and value not in (pb.File.ROLE_UNSPECIFIED, pb.File.ROLE_CONFIG):
            raise refuse("bound", f"must be ROLE_CONFIG, as {CONFIG_PATH} is the serving configuration")
        if value == pb.File.ROLE_CONFIG and not is_config and "path" in info.data:
            raise refuse("bound", f"must not be ROLE_CONFIG, which is for {CONFIG_PATH}")
        return value

    @model_validator(mode="after")
    def _evidence_has_a_folder_of_its_own(self) -> Self:
        """So that evaluation.json can be evidence where a model has a file of that name, too."""
        if self.role == pb.File.ROLE_EVIDENCE and not self.path.startswith(EVIDENCE_FOLDER):
            if len(self.path) + len(EVIDENCE_FOLDER) > MAX_PATH:
                raise refuse("bound", f"the path must have at most {MAX_PATH} characters with {EVIDENCE_FOLDER!r}")
            self.path = EVIDENCE_FOLDER + self.path
        return self


class TensorInput(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_plain)]
    datatype: str
    shape: Annotated[list[Annotated[int, Field(ge=-1, le=2**31 - 1)]], Field(min_length=1, max_length=MAX_RANK)]
    optional: bool = False

    @field_validator("datatype")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in DATATYPES:
            raise refuse("bound", f"must be one of {', '.join(DATATYPES)}")
        return value


def _distinct(value: list[TensorInput]) -> list[TensorInput]:
    names = [tensor.name for tensor in value]
    if len(set(names)) != len(names):
        raise refuse("bound", "must not name a tensor twice")
    return value


Tensors = Annotated[list[TensorInput], Field(max_length=MAX_TENSORS), AfterValidator(_distinct)]


class SignatureInput(BaseModel):
    inputs: Tensors
    outputs: Annotated[Tensors, Field(min_length=1)]


class BatchingInput(BaseModel):
    preferred_batch_sizes: Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(max_length=32)] = []
    max_queue_delay_us: Annotated[int, Field(ge=0, le=MAX_WAIT_US)] = 0


class ServingInput(BaseModel):
    """`max_batch_size` -1 or absent: found out from the model."""

    max_batch_size: Annotated[int, Field(ge=-1, le=65536)] = -1
    dynamic_batching: BatchingInput | None = None
    instances: Annotated[int, Field(ge=0, le=256)] = 0
    parameters: dict[str, str] = {}
    backend: str = ""

    @field_validator("parameters")
    @classmethod
    def _bounded(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > 64 or any(not 0 < len(key) <= 255 or len(text) > 4000 for key, text in value.items()):
            raise refuse(
                "bound", "must have at most 64 entries, keys of 1 to 255 and values of at most 4,000 characters"
            )
        if any(CONTROL.search(key) for key in value):
            raise refuse("bound", "keys must not contain control characters")
        return value

    @field_validator("backend")
    @classmethod
    def _named(cls, value: str) -> str:
        if _BACKEND.fullmatch(value) is None:
            raise refuse("bound", "must be up to 63 of a-z, 0-9, '_', '-'")
        return value

    @model_validator(mode="after")
    def _preferred_within_batch(self) -> Self:
        sizes = self.dynamic_batching.preferred_batch_sizes if self.dynamic_batching else []
        if self.max_batch_size > 0 and any(size > self.max_batch_size for size in sizes):
            raise refuse("bound", "preferred_batch_sizes must not be above max_batch_size")
        return self


class LineageInput(BaseModel):
    source: PlainText = ""
    job: PlainText = ""
    data_digest: OptionalDigest = ""
    code_digest: OptionalDigest = ""
    environment_digest: OptionalDigest = ""
    parent_version: VersionRef | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] = 0
    parameters: dict[str, Any] = {}
    author: PlainText = ""

    @field_validator("parent_version", mode="before")
    @classmethod
    def _parent(cls, value: str) -> VersionRef | None:
        return parse_version(value) if value else None

    @field_validator("parameters")
    @classmethod
    def _short(cls, value: dict[str, Any]) -> dict[str, Any]:
        if (size := len(json.dumps(value, ensure_ascii=False).encode())) > MAX_PARAMETERS:
            raise refuse("bound", f"must have at most {MAX_PARAMETERS} bytes as JSON, not {size}")
        return value


class VersionInput(BaseModel):
    description: Description = ""
    labels: StoredLabels = {}
    format: Annotated[int, known_enum(pb.Format, allow_unspecified=True)] = 0
    files: Annotated[list[FileInput], Field(min_length=1, max_length=1000)]
    signature: SignatureInput | None = None
    serving: ServingInput | None = None
    lineage: LineageInput = LineageInput()
    metrics: dict[str, float] = {}

    @field_validator("files")
    @classmethod
    def _paths_are_distinct(cls, value: list[FileInput]) -> list[FileInput]:
        paths = {file.path for file in value}
        if len(paths) != len(value):
            raise refuse("bound", "must not name a path twice")
        for path in paths:
            parts = path.split("/")
            if any("/".join(parts[:cut]) in paths for cut in range(1, len(parts))):
                raise refuse("bound", f"{path!r} lies inside another path that is a file")
        return value

    @field_validator("files")
    @classmethod
    def _evidence_is_bounded(cls, value: list[FileInput]) -> list[FileInput]:
        found = sum(file.role == pb.File.ROLE_EVIDENCE for file in value)
        if found > MAX_EVIDENCE:
            raise refuse("bound", f"must have at most {MAX_EVIDENCE} files of evidence, not {found}")
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: dict[str, float]) -> dict[str, float]:
        if len(value) > 256 or any(_METRIC.fullmatch(key) is None for key in value):
            raise refuse(
                "bound", "must have at most 256 entries with keys of 1 to 63 of A-Z, a-z, 0-9, '.', '_', '/', '-', '@'"
            )
        if not all(math.isfinite(number) for number in value.values()):
            raise refuse("bound", "must be finite numbers")
        return value
