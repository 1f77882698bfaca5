"""The check of a backend, against answers that no sound backend gives."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from tritonclient.grpc import service_pb2 as pb

from services.patcher.agent.selfcheck import check

pytestmark = pytest.mark.anyio
RIGHT = struct.pack("<3f", -5.0, 2.0, 15.5)


class Triton:
    """Loads everything and answers `content`."""

    def __init__(self, *content: bytes) -> None:
        self._content = content

    async def load(self, model: str, timeout: float) -> None:
        pass

    async def unload(self, model: str) -> None:
        pass

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        return pb.ModelInferResponse(raw_output_contents=self._content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ((RIGHT,), ""),
        ((RIGHT[:-1],), "failed: y has 11 bytes"),
        ((), "failed: y has 0 bytes"),
        ((struct.pack("<3f", -5.0, 0.0, 15.5),), "computes wrong values"),
        ((struct.pack("<3f", -5.0, math.nan, 15.5),), "computes wrong values"),
    ],
)
async def test_says_what_is_wrong(tmp_path: Path, content: tuple[bytes, ...], words: str) -> None:
    said = await check(Triton(*content), tmp_path)  # type: ignore[arg-type]
    assert words in said
    assert bool(said) == bool(words)
