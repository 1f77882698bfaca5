"""The contract as descriptors, for clients that load it at run time."""

from __future__ import annotations

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from tritonclient.grpc import service_pb2

from bmase.gateway.v1 import route_pb2
from bmase.monitor.v1 import monitor_pb2
from bmase.patcher.v1 import deployment_pb2, release_pb2
from bmase.registry.v1 import registry_pb2

ROOTS = (service_pb2, registry_pb2, deployment_pb2, release_pb2, route_pb2, monitor_pb2)


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """All files of the contract with what they import, each after its imports."""
    found: dict[str, FileDescriptor] = {}
    for module in ROOTS:
        _visit(module.DESCRIPTOR, found)
    made = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(made.file.add())
    return made


def _visit(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    for needed in file.dependencies:
        _visit(needed, found)
    found.setdefault(file.name, file)
