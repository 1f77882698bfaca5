"""Files that uploads grow in, through what can happen to them between two openings."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.registry.staging import StagedFile, Staging, UploadId, parse_id


def sha(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def add(file: StagedFile, raw: bytes) -> int:
    pieces = [memoryview(raw)]
    length = file.write(pieces)
    file.hash(pieces)
    return length


def test_the_digest_goes_on_over_openings(tmp_path: Path) -> None:
    file = StagedFile(tmp_path / "a.part")
    assert file.open() == 0
    add(file, b"one")
    file.close()
    assert file.open() == 3
    assert add(file, b"two") == 6
    assert file.digest() == sha(b"onetwo")
    file.close()


def test_a_new_process_reads_what_is_there(tmp_path: Path) -> None:
    before = StagedFile(tmp_path / "a.part")
    before.open()
    add(before, b"x" * 3_000_000)
    before.close()
    after = StagedFile(tmp_path / "a.part")
    assert after.open() == 3_000_000
    add(after, b"y")
    assert after.digest() == sha(b"x" * 3_000_000 + b"y")
    after.close()


def test_bytes_that_were_hashed_but_not_written_do_not_count(tmp_path: Path) -> None:
    file = StagedFile(tmp_path / "a.part")
    file.open()
    add(file, b"kept")
    file.hash([memoryview(b"lost")])  # the disk was full
    file.close()
    assert file.open() == 4
    add(file, b"!")
    assert file.digest() == sha(b"kept!")
    file.close()


def test_handing_over_leaves_the_file_until_it_is_removed(tmp_path: Path) -> None:
    file = StagedFile(tmp_path / "a.part")
    file.open()
    add(file, b"whole")
    for _ in range(2):  # the first time nobody took it
        assert file.handed_over().read_bytes() == b"whole"
    file.handed_over().unlink()
    assert file.path.read_bytes() == b"whole"
    file.close()
    file.remove()
    assert file.open() == 0
    assert file.digest() == sha(b"")
    file.close()


def test_ids_say_what_they_are_of(tmp_path: Path) -> None:
    upload_id = UploadId(sha(b"x"), 2**40)
    assert parse_id(str(upload_id)) == upload_id
    for text in ("", "x", "../" + "a" * 64 + "-1", "A" * 64 + "-1", "a" * 64 + "--1", "a" * 64 + "-1\n"):
        with pytest.raises(DomainError) as caught:
            parse_id(text)
        assert caught.value.reason is Reason.UPLOAD_NOT_FOUND


def test_old_uploads_are_found_and_forgotten(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "uploads")
    assert staging.abandoned(0) == []
    old, fresh = UploadId(sha(b"old"), 5), UploadId(sha(b"fresh"), 5)
    for upload_id in (old, fresh):
        assert staging.begin(upload_id) == 0
    an_hour_ago = time.time() - 3600
    os.utime(staging.path(old), (an_hour_ago, an_hour_ago))
    assert staging.abandoned(1800) == [old]
    staging.remove(old)
    assert (staging.length(old), staging.length(fresh)) == (None, 0)
    staging.close()


def test_more_than_the_disk_holds_is_refused(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "uploads")
    with pytest.raises(DomainError) as caught:
        staging.begin(UploadId(sha(b"huge"), 2**60))
    assert caught.value.reason is Reason.STORAGE_FULL
    staging.close()


def test_a_folder_that_cannot_be_used_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file where the folder should be")
    staging, upload_id = Staging(tmp_path / "uploads"), UploadId(sha(b"x"), 1)
    for work in (lambda: staging.length(upload_id), lambda: staging.remove(upload_id)):
        with pytest.raises(DomainError) as caught:
            work()
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
    staging.close()
