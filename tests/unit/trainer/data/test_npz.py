"""NPZ: streamed, never unpickled, never larger than it claims."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.reasons import Reason
from numpy.lib import format as npy

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import Manifest, discover, read
from services.trainer.data.formats import npz


class Mark:
    """Would leave a mark if it were ever loaded."""

    touched = False

    def __reduce__(self) -> Any:
        return setattr, (Mark, "touched", True)


def saved(folder: Path, compressed: bool = False, **arrays: Any) -> str:
    path = folder / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return str(path)


def member(array: bytes, shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    """A .npy with a header of our choice."""
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + array


def zipped(folder: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(folder / "data.npz", "w", kind) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return str(folder / "data.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_come_back_in_batches(tmp_path: Path, compressed: bool) -> None:
    image = np.arange(25 * 4 * 3, dtype=np.uint8).reshape(25, 4, 3)
    turned = np.asfortranarray(np.arange(50.0).reshape(25, 2))
    manifest = discover(
        saved(tmp_path, compressed, image=image, turned=turned, name=np.array([f"ü{i}" for i in range(25)]))
    )
    assert [str(column) for column in manifest.columns] == ["uint8[4x3]", "text", "float64[2]"]
    batches = list(read(manifest, rows=10))
    assert [len(batch["image"]) for batch in batches] == [10, 10, 5]
    np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in batches]), image)
    np.testing.assert_array_equal(np.concatenate([batch["turned"] for batch in batches]), turned)
    assert batches[2]["name"].tolist() == [f"ü{i}" for i in range(20, 25)]
    assert batches[0]["image"].flags.writeable


def test_big_endian_numbers_become_native(tmp_path: Path) -> None:
    (batch,) = read(discover(saved(tmp_path, x=np.arange(3, dtype=">i4"))))
    assert batch["x"].dtype.isnative
    assert batch["x"].tolist() == [0, 1, 2]


def test_objects_are_refused_unread(tmp_path: Path) -> None:
    uri = saved(tmp_path, good=np.arange(2), bad=np.array([Mark(), Mark()], object))
    with pytest.raises(DomainError, match="array bad holds pickled objects, which are never loaded") as caught:
        discover(uri)
    assert caught.value.reason is Reason.INVALID_DATA
    assert "astype('U')" in caught.value.hint
    assert not Mark.touched


def test_objects_are_refused_when_reading_too(tmp_path: Path) -> None:
    manifest = discover(saved(tmp_path, x=np.arange(2)))
    uri = saved(tmp_path, x=np.array([Mark()], object))
    forged = Manifest.model_validate(manifest.model_dump() | {"files": [discover_bytes(uri, manifest)]})
    with pytest.raises(DomainError, match="pickled"):
        list(read(forged))
    assert not Mark.touched


def discover_bytes(uri: str, manifest: Manifest) -> dict[str, Any]:
    raw = Path(uri).read_bytes()
    return manifest.files[0].model_dump() | {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"a": np.arange(3), "b": np.arange(4)}, "differ in their number of rows: a has 3, b has 4"),
        ({"a": np.float64(3)}, "array a is a single value"),
        ({"a": np.zeros(3, complex)}, "complex128, which is no column"),
        ({"a": np.zeros(3, [("x", "i4")])}, "no column"),
        ({"a": np.zeros(3, "U0").astype("<U0")}, None),
    ],
)
def test_what_is_no_column_is_said(tmp_path: Path, arrays: dict[str, Any], why: str | None) -> None:
    uri = saved(tmp_path, **arrays)
    if why is None:  # numpy itself widens empty texts
        assert discover(uri).rows == 3
        return
    with pytest.raises(DomainError, match=why):
        discover(uri)


def test_a_member_that_claims_more_than_it_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="says it takes 8000000000128 bytes and has 144"):
        discover(zipped(tmp_path, {"a.npy": member(bytes(16), (10**12,))}))


def test_a_member_that_has_more_than_it_claims_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="says it takes 144 bytes and has"):
        discover(zipped(tmp_path, {"a.npy": member(bytes(10**6), (2,))}))


def test_endless_rows_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="no column"):
        discover(zipped(tmp_path, {"a.npy": member(b"", (2**60,), "<U0")}))


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A zip bomb without recursion: many entries of the directory, one stream."""
    raw = member(bytes(800_000), (100_000,))
    path = Path(zipped(tmp_path, {"a.npy": raw}, zipfile.ZIP_STORED))
    with zipfile.ZipFile(path, "a") as archive:
        twin = zipfile.ZipInfo("b.npy")
        for field in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
            setattr(twin, field, getattr(archive.infolist()[0], field))
        archive.filelist.append(twin)
        archive.NameToInfo["b.npy"] = twin
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(DomainError, match=r"members overlap|is no whole NPZ file"):
        discover(str(path))


def test_a_row_too_large_for_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = discover(saved(tmp_path, True, x=np.zeros((2, 5000))))
    monkeypatch.setattr("services.trainer.data.reading.MAX_BATCH_BYTES", 30_000)
    with pytest.raises(InvalidArgument, match="rows: cannot be any number: one row is too large"):
        read(manifest)


def test_other_packing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="packed otherwise than numpy does"):
        discover(zipped(tmp_path, {"a.npy": member(bytes(16), (2,))}, zipfile.ZIP_BZIP2))


@pytest.mark.parametrize("name", [".npy", f"{'x' * 257}.npy"])
def test_a_name_that_is_none_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(DomainError, match="has a column without a name"):
        discover(zipped(tmp_path, {name: member(bytes(16), (2,))}))


def test_damage_is_said(tmp_path: Path) -> None:
    uri = saved(tmp_path, x=np.arange(1000))
    raw = bytearray(Path(uri).read_bytes())
    (tmp_path / "cut.npz").write_bytes(raw[:500])
    with pytest.raises(DomainError, match=r"cut\.npz: is no whole NPZ file"):
        discover(str(tmp_path / "cut.npz"))


def test_a_wrong_checksum_is_found_while_reading(tmp_path: Path) -> None:
    uri = saved(tmp_path, x=np.arange(1000))
    raw = bytearray(Path(uri).read_bytes())
    raw[3000] ^= 1
    Path(uri).write_bytes(raw)
    with pytest.raises(DomainError, match="Bad CRC-32"):
        list(read(discover(uri), rows=100))


def test_too_large_to_be_turned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_TURNED_BYTES", 100)
    manifest = discover(saved(tmp_path, x=np.asfortranarray(np.ones((50, 2)))))
    with pytest.raises(DomainError, match="Fortran order") as caught:
        list(read(manifest))
    assert "ascontiguousarray" in caught.value.hint
