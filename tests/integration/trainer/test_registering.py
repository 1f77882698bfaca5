"""What a trainer asks a real registry for: the version that a job has made."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb
from bmase.sources import collect

from services.trainer.engine.registry import NewVersion
from services.trainer.engine.registry import Registry as Asked
from tests.support.onnx_models import affine
from tests.support.registry import Registry

pytestmark = pytest.mark.anyio


async def test_the_version_of_a_job_is_found_by_its_name_and_no_other(tmp_path: Path) -> None:
    with Registry(tmp_path) as registry:
        async with grpc.aio.insecure_channel(registry.address) as channel:
            asked = Asked(channel)
            assert await asked.made_by("digits", "jobs/1") == 0, "there is no such model yet"
            for number in (1, 2):
                (tmp_path / "model.onnx").write_bytes(affine(float(number)).SerializeToString())
                files = await asked.put(collect([tmp_path / "model.onnx"]))
                lineage = pb.Lineage(source="train", job=f"jobs/{number}")
                new = NewVersion("digits", "", {}, lineage, {}, request_id=f"{number}-version")
                assert await asked.create(new, files) == number
            assert [await asked.made_by("digits", f"jobs/{number}") for number in (1, 2, 3)] == [1, 2, 0]
