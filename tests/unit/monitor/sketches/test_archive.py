"""Archives are read back as they were, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.sketches.archive import Unreadable, join, pack, parted, unpack


def test_what_is_packed_is_unpacked() -> None:
    meta, arrays = unpack(pack({"a": [1, "ü"]}, {"x": np.arange(3), "0.y": np.zeros((2, 0))}))
    assert meta == {"a": [1, "ü"]}
    assert arrays["x"].tolist() == [0, 1, 2]
    assert arrays["0.y"].shape == (2, 0)


@pytest.mark.parametrize("cut", [0, 1, 50, -1, -40])
def test_what_is_cut_off_is_unreadable(cut: int) -> None:
    data = pack({"a": 1}, {"x": np.arange(100)})
    with pytest.raises(Unreadable):
        unpack(data[:cut])


def test_objects_are_never_unpickled() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        pack({}, {"x": np.array([object()], object)})


@pytest.mark.parametrize("parts", [[], [b""], [b"a", b"", b"bcd"]])
def test_byte_strings_are_joined_and_parted(parts: list[bytes]) -> None:
    assert parted(*join(parts)) == parts
