"""Descriptor sets for Envoy's filters, taken from the generated classes that this process has anyway."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType

import bmase
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from tritonclient.grpc import service_pb2

# FileDescriptors have two implementations and no common type.
File = object


def inference() -> bytes:
    """The Open Inference Protocol."""
    return _set([service_pb2.DESCRIPTOR])


def api() -> tuple[list[str], bytes]:
    """Full names of the platform's services, and their files with those of error details."""
    files = [module.DESCRIPTOR for module in _stubs()]
    names = [service.full_name for file in files for service in file.services_by_name.values()]
    return sorted(names), _set([*files, error_details_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR])


def packages(services: Iterable[str]) -> list[str]:
    """`registry` of `bmase.registry.v1.RegistryService`: under this name a service is found in Consul."""
    return sorted({name.split(".")[1] for name in services})


def _stubs() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(bmase.__path__, "bmase."):
        if module.name.endswith("_pb2") and ".v1." in module.name:
            yield importlib.import_module(module.name)


def _set(files: Iterable[File]) -> bytes:
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for file in files:
        _collect(file, found)
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _collect(file: File, found: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    """Dependencies first, each once, as Envoy wants them."""
    if file.name in found:  # type: ignore[attr-defined]
        return
    for dependency in file.dependencies:  # type: ignore[attr-defined]
        _collect(dependency, found)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)  # type: ignore[attr-defined]
    found[proto.name] = proto
