from __future__ import annotations

from bmase.registry.v1 import registry_pb2 as pb

from services.patcher.documents import FileRole
from services.patcher.versions import served


def test_a_node_gets_what_is_served_and_nothing_else() -> None:
    version = pb.Version()
    for path, role in (
        ("model.onnx", pb.File.ROLE_MODEL),
        ("old.bin", pb.File.ROLE_UNSPECIFIED),
        ("config.pbtxt", pb.File.ROLE_CONFIG),
        ("samples/1.pb", pb.File.ROLE_SAMPLE),
        ("evidence/card.md", pb.File.ROLE_EVIDENCE),
        ("later", 99),
    ):
        version.files.add(path=path, digest="sha256:" + "0" * 64, size_bytes=1, role=role)  # type: ignore[arg-type]
    assert {file.path: file.role for file in served(version)} == {
        "model.onnx": FileRole.MODEL,
        "old.bin": FileRole.MODEL,
        "config.pbtxt": FileRole.CONFIG,
        "samples/1.pb": FileRole.SAMPLE,
    }
