"""The bytes between an explainer and the gateway, and to whom a token is not sent."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bmase.explaining.portable import gateway
from bmase.explaining.portable.gateway import Gateway, GatewayError


def test_a_request_is_json_and_the_tensors_behind_it() -> None:
    x, words = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([b"ab", "ü"], dtype=object)
    header, raw = gateway.request({"x": x, "words": words}, "y")
    said = json.loads(header)
    assert [(t["name"], t["datatype"], t["shape"]) for t in said["inputs"]] == [
        ("x", "FP32", [2, 3]),
        ("words", "BYTES", [2]),
    ]
    assert [t["parameters"]["binary_data_size"] for t in said["inputs"]] == [24, 12]
    assert raw == x.tobytes() + b"\x02\0\0\0ab" + b"\x02\0\0\0\xc3\xbc"
    assert said["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


@pytest.mark.parametrize("binary", [True, False])
def test_answers_come_as_bytes_or_as_json(binary: bool) -> None:
    values = np.array([[1.5, -2], [0, 4]], np.float32)
    said = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": values.ravel().tolist()}]}
    if binary:
        del said["outputs"][0]["data"]
    header = json.dumps(said).encode()
    body = header + values.tobytes() if binary else header
    np.testing.assert_array_equal(gateway.answer(body, len(header) if binary else 0, "y"), values)
    with pytest.raises(GatewayError, match="no numbers 'z'"):
        gateway.answer(body, len(header) if binary else 0, "z")


@pytest.mark.parametrize("address", ["http://gateway.example:8080", "10.0.0.7:8080"])
def test_a_token_does_not_travel_unencrypted(address: str) -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        Gateway(address, token="secret")
    Gateway("http://127.0.0.1:8080", token="secret")
    Gateway("https://gateway.example", token="secret")


def test_an_address_has_to_be_one() -> None:
    with pytest.raises(ValueError, match="ftp://x"):
        Gateway("ftp://x")


def test_types_that_cannot_be_explained_are_known() -> None:
    assert gateway.known(["FP32", "INT64", "BYTES"])
    assert not gateway.known(["FP32", "BF16"])
