"""Artefact bytes taken apart and put together by hand must be what protobuf makes of them."""

from __future__ import annotations

import pytest
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from services.registry.transfer import decode_piece, encode_piece


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4095, 4097, 16383, 16384, 1 << 20, (1 << 21) + 5])
def test_data_survives_either_way(size: int) -> None:
    data = bytes(index % 251 for index in range(min(size, 1000))) * (size // 1000 + 1)
    data = data[:size]
    piece = decode_piece(pb.WriteArtefactRequest(data=data).SerializeToString())
    assert (piece.upload_id, piece.offset, bytes(piece.data)) == ("", 0, data)
    assert pb.ReadArtefactResponse.FromString(encode_piece(data)).data == data


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_other_fields_are_not_lost(size: int) -> None:
    message = pb.WriteArtefactRequest(upload_id="abc", offset=2**40, data=b"x" * size)
    piece = decode_piece(message.SerializeToString())
    assert (piece.upload_id, piece.offset, len(piece.data)) == ("abc", 2**40, size)
    late = pb.WriteArtefactRequest(data=b"x" * size).SerializeToString()
    late += pb.WriteArtefactRequest(upload_id="late").SerializeToString()
    assert decode_piece(late).upload_id == "late"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_decode_error(raw: bytes) -> None:
    for data in (raw, b"\x1a" + raw + b"\0" * 5000):
        try:
            wanted = pb.WriteArtefactRequest.FromString(data)
        except DecodeError:
            with pytest.raises(DecodeError):
                decode_piece(data)
        else:
            assert bytes(decode_piece(data).data) == wanted.data
