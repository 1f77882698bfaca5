"""What was told to pip, told to uv."""

from __future__ import annotations

import pytest

from services.trainer.reproduce.indexes import for_uv


@pytest.mark.parametrize(
    ("environ", "default", "found"),
    [
        ({}, "", {}),
        ({}, "https://of.files/simple", {"UV_DEFAULT_INDEX": "https://of.files/simple"}),
        ({"PIP_INDEX_URL": "https://a/simple"}, "https://of.files/simple", {"UV_DEFAULT_INDEX": "https://a/simple"}),
        ({"UV_INDEX_URL": "https://b/simple", "PIP_INDEX_URL": "https://a/simple"}, "", {}),
        ({"PIP_FIND_LINKS": "/one /two", "TORCH_FIND_LINKS": "/two"}, "", {"UV_FIND_LINKS": "/two,/one"}),
        ({"PIP_FIND_LINKS": "/one", "UV_FIND_LINKS": "/mine"}, "", {}),
        (
            {"TORCH_INDEX_URL": "https://torch/cpu"},
            "",
            {"UV_INDEX": "https://torch/cpu", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
    ],
)
def test_uv_asks_where_pip_would(environ: dict[str, str], default: str, found: dict[str, str]) -> None:
    assert for_uv(environ, default) == found
