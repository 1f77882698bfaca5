"""Calls of `bmase.registry.v1.RegistryService`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.errors import AlreadyExists, InvalidArgument, Violation
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb

SERVICE = "/bmase.registry.v1.RegistryService/"
CREATE_TIMEOUT = 120.0  # the registry reads the model file
GC_TIMEOUT = 600.0


def new_request_id() -> str:
    """Makes a creation repeatable: the same id gets the same answer."""
    return str(uuid.uuid4())


def create_model(name: str, description: str, labels: Mapping[str, str]) -> Call[pb.Model]:
    """A model without versions."""
    model = pb.Model(name=names.model(name), description=description, labels=dict(labels))
    return Call(SERVICE + "CreateModel", pb.CreateModelRequest(model=model, request_id=new_request_id()), pb.Model)


def get_model(name: str) -> Call[pb.Model]:
    """One model."""
    return Call(SERVICE + "GetModel", pb.GetModelRequest(name=names.model(name)), pb.Model)


def list_models(where: str, order_by: str, show_deleted: bool, page_size: int) -> Listing[pb.Model]:
    """Models that match a filter."""

    def page(token: str) -> Call[pb.ListModelsResponse]:
        request = pb.ListModelsRequest(
            page_size=page_size, page_token=token, filter=where, order_by=order_by, show_deleted=show_deleted
        )
        return Call(SERVICE + "ListModels", request, pb.ListModelsResponse)

    return Listing(page, "models")


def update_model(name: str, description: str | None, labels: Mapping[str, str] | None, etag: str) -> Call[pb.Model]:
    """Description and labels of a model; None leaves one as it is."""
    model = pb.Model(name=names.model(name), description=description or "", labels=dict(labels or {}), etag=etag)
    fields = _given(description=description, labels=labels)
    return Call(SERVICE + "UpdateModel", pb.UpdateModelRequest(model=model, update_fields=fields), pb.Model)


def delete_model(name: str, etag: str) -> Call[pb.Model]:
    """Soft deletion."""
    return Call(SERVICE + "DeleteModel", pb.DeleteModelRequest(name=names.model(name), etag=etag), pb.Model)


def undelete_model(name: str) -> Call[pb.Model]:
    """Takes a soft deletion back."""
    return Call(SERVICE + "UndeleteModel", pb.UndeleteModelRequest(name=names.model(name)), pb.Model)


def set_alias(model: str, alias: str, version: int, expected: int) -> Call[pb.Model]:
    """Points an alias at a version."""
    request = pb.SetAliasRequest(
        model=names.model(model), alias=names.alias(alias), version=version, expected_version=expected
    )
    return Call(SERVICE + "SetAlias", request, pb.Model)


def delete_alias(model: str, alias: str) -> Call[pb.Model]:
    """Takes an alias away."""
    return Call(SERVICE + "DeleteAlias", pb.DeleteAliasRequest(model=names.model(model), alias=alias), pb.Model)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What makes a version, besides its files.

    How it is served is left to the registry (batches, where the model allows them) unless something is said here; then
    `max_batch_size` None is still found out from the model, and `dynamic_batching` is on unless it is False. Nothing
    may be said when a config.pbtxt is among the files. `lineage` takes the fields of the message Lineage by name.
    """

    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    max_batch_size: int | None = None
    dynamic_batching: bool | None = None
    preferred_batch_sizes: Iterable[int] = ()
    max_queue_delay_us: int = 0
    instances: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""
    format: Literal["", "onnx", "triton"] = ""
    signature: pb.Signature | None = None
    samples: Iterable[pb.Sample] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    create_model: bool = True


def create_version(model: str, files: Iterable[pb.File], new: NewVersion, request_id: str) -> Call[pb.Version]:
    """A version from artefacts that are in the registry already."""
    version = pb.Version(
        description=new.description,
        labels=dict(new.labels),
        metrics=dict(new.metrics),
        files=files,
        format=_format(new.format),
        signature=new.signature,
        serving=serving(new),
        lineage=lineage(new.lineage),
    )
    request = pb.CreateVersionRequest(
        parent=names.model(model),
        version=version,
        request_id=request_id,
        create_model=new.create_model,
        samples=new.samples,
    )
    return Call(SERVICE + "CreateVersion", request, pb.Version, CREATE_TIMEOUT)


def ignore(_existing: pb.Version) -> None:
    """Takes no notice of a version that is there already."""


def equal_version(error: AlreadyExists) -> int:
    """The number of the version whose content the refused one has; raises the error when it is about something else."""
    if error.reason != Reason.VERSION_EXISTS or "version" not in error.metadata:
        raise error
    return int(error.metadata["version"])


def serving(new: NewVersion) -> pb.Serving | None:
    """How the version is to be served; None leaves it to the registry."""
    preferred, delay = list(new.preferred_batch_sizes), new.max_queue_delay_us
    said = (new.max_batch_size, new.dynamic_batching, preferred or delay or None, new.parameters or None)
    if all(value is None for value in said) and not (new.instances or new.backend):
        return None
    made = pb.Serving(
        max_batch_size=new.max_batch_size,
        instances=new.instances,
        parameters=dict(new.parameters),
        backend=new.backend,
    )
    if new.dynamic_batching is not False:
        made.dynamic_batching.CopyFrom(pb.DynamicBatching(preferred_batch_sizes=preferred, max_queue_delay_us=delay))
    return made


def lineage(given: Mapping[str, Any]) -> pb.Lineage:
    """Where the version comes from; `source` is "push" when nothing else is said."""
    rest = {key: value for key, value in given.items() if key != "parameters"}
    made = pb.Lineage(**{"source": "push", **rest})
    if given.get("parameters"):
        made.parameters.update(dict(given["parameters"]))
    return made


def _format(name: Literal["", "onnx", "triton"]) -> pb.Format:
    return {"": pb.FORMAT_UNSPECIFIED, "onnx": pb.FORMAT_ONNX, "triton": pb.FORMAT_TRITON}[name]


def get_version(model: str, version: int | str | None) -> Call[pb.Version]:
    """One version, by number, alias or as the latest."""
    return Call(SERVICE + "GetVersion", pb.GetVersionRequest(name=names.version(model, version)), pb.Version)


def list_versions(model: str, where: str, order_by: str, show_deleted: bool, page_size: int) -> Listing[pb.Version]:
    """Versions of a model (of all models for "-") that match a filter."""

    def page(token: str) -> Call[pb.ListVersionsResponse]:
        request = pb.ListVersionsRequest(
            parent=names.model(model), page_size=page_size, page_token=token,
            filter=where, order_by=order_by, show_deleted=show_deleted,
        )  # fmt: skip
        return Call(SERVICE + "ListVersions", request, pb.ListVersionsResponse)

    return Listing(page, "versions")


def update_version(
    model: str, version: int | str, description: str | None, labels: Mapping[str, str] | None
) -> Call[pb.Version]:
    """Description and labels of a version; None leaves one as it is."""
    made = pb.Version(name=names.version(model, version), description=description or "", labels=dict(labels or {}))
    fields = _given(description=description, labels=labels)
    return Call(SERVICE + "UpdateVersion", pb.UpdateVersionRequest(version=made, update_fields=fields), pb.Version)


def delete_version(model: str, version: int | str) -> Call[pb.Version]:
    """Soft deletion."""
    return Call(SERVICE + "DeleteVersion", pb.DeleteVersionRequest(name=names.version(model, version)), pb.Version)


def undelete_version(model: str, version: int | str) -> Call[pb.Version]:
    """Takes a soft deletion back."""
    request = pb.UndeleteVersionRequest(name=names.version(model, version))
    return Call(SERVICE + "UndeleteVersion", request, pb.Version)


def start_upload(digest: str, size: int) -> Call[pb.Upload]:
    """Starts or finds the upload of an artefact."""
    return Call(SERVICE + "StartUpload", pb.StartUploadRequest(digest=digest, size_bytes=size), pb.Upload)


def read_artefact(digest: str, offset: int) -> Call[pb.ReadArtefactResponse]:
    """An artefact's bytes from an offset to the end, as a stream."""
    request = pb.ReadArtefactRequest(digest=digest, offset=offset)
    return Call(SERVICE + "ReadArtefact", request, pb.ReadArtefactResponse, None)


def collect_garbage(dry_run: bool, min_age_seconds: int) -> Call[pb.CollectGarbageResponse]:
    """Removes (or counts) what nothing refers to."""
    request = pb.CollectGarbageRequest(dry_run=dry_run, min_age_seconds=min_age_seconds)
    return Call(SERVICE + "CollectGarbage", request, pb.CollectGarbageResponse, GC_TIMEOUT)


def watch_models(model: str | None, from_revision: int) -> Watch[pb.WatchModelsResponse]:
    """Changes of models and versions; after a break it goes on behind the last revision that was seen."""

    def open_at(revision: int) -> Call[pb.WatchModelsResponse]:
        request = pb.WatchModelsRequest(from_revision=revision, model=names.model(model) if model else "")
        return Call(SERVICE + "WatchModels", request, pb.WatchModelsResponse, None)

    def again(call: Call[pb.WatchModelsResponse], event: pb.WatchModelsResponse) -> Call[pb.WatchModelsResponse]:
        # Before KIND_SYNCED the present state is still being sent: its revisions say nothing about how much has come.
        started = getattr(call.request, "from_revision", 0) > 0 or event.kind == pb.WatchModelsResponse.KIND_SYNCED
        return open_at(event.revision) if started else call

    return Watch(open_at(from_revision), again, restart=open_at(0))


def _given(**fields: Any) -> list[str]:
    given = [name for name, value in fields.items() if value is not None]
    if not given:
        text = f"nothing to change: give {' or '.join(fields)}"
        raise InvalidArgument(text, reason=Reason.INVALID_FIELD, violations=[Violation("update_fields", text)])
    return given
