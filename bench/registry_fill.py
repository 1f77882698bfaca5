"""Many models in a registry's database, written past the service: making them one by one would take minutes."""

from __future__ import annotations

import json
from pathlib import Path

from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import create_engine, update

from services.registry import tables
from services.registry.moments import now


def fill(path: Path, count: int) -> None:
    """`count` models with one version each, labels on both, metrics, and an alias on every tenth."""
    engine = create_engine(f"sqlite:///{path}")
    digest = "sha256:" + "0" * 64
    rows = [_rows(index, now() - index * 1_000_000, digest) for index in range(count)]
    artefact = {"digest": digest, "size": 1, "blob_key": "none", "create_time": now(), "touch_time": now()}
    with engine.begin() as connection:
        connection.execute(tables.artefacts.insert().values(artefact))
        for name in ("models", "model_labels", "versions", "version_labels", "version_metrics", "version_files"):
            connection.execute(getattr(tables, name).insert(), [row[name] for row in rows])
        connection.execute(tables.aliases.insert(), [row["aliases"] for row in rows[::10]])
        connection.execute(update(tables.revisions).values(last=2 * count, oldest=2 * count))
    engine.dispose()


def _rows(index: int, moment: int, digest: str) -> dict[str, dict[str, object]]:
    name = f"model-{index:05d}"
    labels = {"team": f"team-{index % 100}", "stage": "research"}
    mine = {"model": name, "number": 1}
    document = pb.Version(
        format=pb.FORMAT_ONNX,
        files=[pb.File(path="model.onnx", digest=digest, size_bytes=1, role=pb.File.ROLE_MODEL)],
        signature=pb.Signature(
            inputs=[pb.Tensor(name="x", datatype="FP32", shape=[1, 28, 28])],
            outputs=[pb.Tensor(name="y", datatype="FP32", shape=[10])],
        ),
        metrics={"accuracy": index / 10_000},
        digest=f"sha256:{index:064x}",
        size_bytes=1,
    )
    return {
        "models": {
            "name": name,
            "description": f"model number {index}",
            "labels": json.dumps(labels),
            "next_number": 2,
            "version_count": 1,
            "latest_version": 1,
            "create_time": moment,
            "update_time": moment,
            "revision": index + 1,
        },
        "model_labels": {"model": name, "name": "team", "value": labels["team"]},
        "versions": {
            **mine,
            "description": "",
            "labels": json.dumps(labels),
            "format": pb.FORMAT_ONNX,
            "digest": document.digest,
            "document": document.SerializeToString(),
            "create_time": moment,
        },
        "version_labels": {**mine, "name": "team", "value": labels["team"]},
        "version_metrics": {**mine, "name": "accuracy", "value": index / 10_000},
        "version_files": {**mine, "path": "model.onnx", "digest": digest},
        "aliases": {"model": name, "alias": "stable", "number": 1},
    }
