"""URLs of blob stores, and what an S3's answers mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.blob import FileStore, S3Store, open_store
from services.kit.blob.s3 import explain
from services.kit.errors import DomainError

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}


def test_a_file_url_is_a_folder() -> None:
    store = open_store("file:///var/lib/with%20space", {})
    assert isinstance(store, FileStore)
    assert store.root == Path("/var/lib/with space")


def test_an_s3_url_is_a_bucket() -> None:
    assert isinstance(
        open_store("s3://bucket/a/b?endpoint=http://127.0.0.1:1&region=r&virtual_host=1", CREDENTIALS), S3Store
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/folder",
        "http://bucket",
        "file://folder",
        "file://host/folder",
        "file:///folder?x=1",
        "file:relative",
        "s3://",
        "s3:///prefix",
        "s3://key:secret@bucket",
        "s3://bucket?colour=blue",
        "s3://bucket?region",
    ],
)
def test_a_wrong_url_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(DomainError) as refused:
        open_store(url, CREDENTIALS)
    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field == "blob_url"
    assert "secret" not in str(refused.value).replace("nothing secret", "")


def test_missing_credentials_are_said_before_anything_is_asked() -> None:
    with pytest.raises(DomainError) as refused:
        open_store("s3://bucket", {})
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "AWS_ACCESS_KEY_ID" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "reason", "cause"),
    [
        (
            "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code>",
            "STORE_UNAVAILABLE",
            "bucket",
        ),
        ("status code: 403 Forbidden: <Code>AccessDenied</Code>", "STORE_UNAVAILABLE", "credentials"),
        ("status code: 403 Forbidden: ", "STORE_UNAVAILABLE", "credentials"),
        ("status code: 507 Insufficient Storage", "STORAGE_FULL", "full"),
        ("status code: 403 Forbidden: <Code>QuotaExceeded</Code>", "STORAGE_FULL", "full"),
        ("status code: 500 Internal Server Error: <Code>InternalError</Code>", "STORE_UNAVAILABLE", "does not work"),
        ("error sending request for http://127.0.0.1:40350/b in 507.403ms", "STORE_UNAVAILABLE", "does not work"),
        ("", "STORE_UNAVAILABLE", "no reason given"),
    ],
)
def test_answers_of_an_s3_are_told_apart(text: str, reason: str, cause: str) -> None:
    found, said, hint = explain(text)
    assert (found, cause in said, bool(hint)) == (Reason(reason), True, True)
