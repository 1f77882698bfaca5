"""Models and versions, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bmase.core import registry
from bmase.registry.v1 import registry_pb2 as pb
from bmase.sync.wire import Wire


class Models:
    """What exists, by name."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, name: str, *, description: str = "", labels: Mapping[str, str] | None = None) -> pb.Model:
        """Makes a model without versions."""
        return self._wire.send(registry.create_model(name, description, labels or {}))

    def get(self, name: str) -> pb.Model:
        """One model; NotFound when it does not exist."""
        return self._wire.send(registry.get_model(name))

    def list(
        self, where: str = "", *, order_by: str = "", show_deleted: bool = False, page_size: int = 0
    ) -> Iterator[pb.Model]:
        """Models that match a filter such as `labels.team="x" AND name:"dig*"`, in order."""
        return self._wire.items(registry.list_models(where, order_by, show_deleted, page_size))

    def update(
        self, name: str, *, description: str | None = None, labels: Mapping[str, str] | None = None, etag: str = ""
    ) -> pb.Model:
        """Changes the description, or replaces the labels as a whole; None leaves one as it is."""
        return self._wire.send(registry.update_model(name, description, labels, etag))

    def delete(self, name: str, *, etag: str = "") -> pb.Model:
        """Soft: `undelete` takes it back until garbage is collected."""
        return self._wire.send(registry.delete_model(name, etag))

    def undelete(self, name: str) -> pb.Model:
        """Takes a deletion back."""
        return self._wire.send(registry.undelete_model(name))

    def set_alias(self, name: str, alias: str, version: int, *, expected: int = 0) -> pb.Model:
        """Points an alias at a version.

        `expected`: the version it points at now, -1 for none yet, 0 for whatever it is.
        """
        return self._wire.send(registry.set_alias(name, alias, version, expected))

    def delete_alias(self, name: str, alias: str) -> pb.Model:
        """Takes an alias away."""
        return self._wire.send(registry.delete_alias(name, alias))

    def watch(self, name: str | None = None, *, from_revision: int = 0) -> Iterator[pb.WatchModelsResponse]:
        """The present state and then every change, over broken connections."""
        return self._wire.follow(registry.watch_models(name, from_revision))

    def collect_garbage(self, *, dry_run: bool = False, min_age_seconds: int = 0) -> pb.CollectGarbageResponse:
        """Removes what nothing refers to."""
        return self._wire.send(registry.collect_garbage(dry_run, min_age_seconds))


class Versions:
    """The immutable versions of models. A version is named by its number, by an alias, or as "latest"."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get(self, model: str, version: int | str | None = None) -> pb.Version:
        """One version, the latest when none is named."""
        return self._wire.send(registry.get_version(model, version))

    def list(
        self, model: str = "-", where: str = "", *, order_by: str = "", show_deleted: bool = False, page_size: int = 0
    ) -> Iterator[pb.Version]:
        """Versions of a model, or of all for "-", that match a filter such as `metrics.accuracy>0.9`."""
        return self._wire.items(registry.list_versions(model, where, order_by, show_deleted, page_size))

    def update(
        self,
        model: str,
        version: int | str,
        *,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> pb.Version:
        """Changes the description, or replaces the labels as a whole; None leaves one as it is."""
        return self._wire.send(registry.update_version(model, version, description, labels))

    def delete(self, model: str, version: int | str) -> pb.Version:
        """Soft; refused while an alias or a deployment needs the version."""
        return self._wire.send(registry.delete_version(model, version))

    def undelete(self, model: str, version: int | str) -> pb.Version:
        """Takes a deletion back."""
        return self._wire.send(registry.undelete_version(model, version))
