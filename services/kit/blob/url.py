"""From a URL to a blob store: `file:///folder` or `s3://bucket/prefix?endpoint=http://host:port&region=name`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from bmase.reasons import Reason
from obstore.store import S3Store as Bucket

from services.kit.blob.files import FileStore
from services.kit.blob.model import BlobStore
from services.kit.blob.s3 import S3Store
from services.kit.errors import DomainError

_OPTIONS = frozenset({"endpoint", "region", "instance_role", "virtual_host"})

# Any of them names a way to credentials. Without one, asking the cloud's metadata address would hang on other machines.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)

_KEYS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")


def open_store(url: str, environment: Mapping[str, str] = os.environ) -> BlobStore:
    """The store that `url` names; nothing is contacted yet (`check` does that)."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _open_files(parts)
    if parts.scheme == "s3":
        return _open_s3(parts, environment)
    raise _bad_url("begins neither with file:// nor with s3://")


def _open_files(parts: SplitResult) -> FileStore:
    if parts.netloc not in {"", "localhost"} or parts.query or not parts.path.startswith("/"):
        raise _bad_url("must be file:/// and an absolute path")
    return FileStore(Path(unquote(parts.path)))


def _open_s3(parts: SplitResult, environment: Mapping[str, str]) -> S3Store:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - _OPTIONS:
        raise _bad_url(f"has the unknown option {sorted(unknown)[0]}; known are {', '.join(sorted(_OPTIONS))}")
    if empty := sorted(name for name, value in options.items() if not value):
        raise _bad_url(f"gives no value to {empty[0]}")
    if not parts.netloc or "@" in parts.netloc:
        raise _bad_url("must name a bucket and nothing secret: s3://bucket/prefix")
    if "instance_role" not in options and not any(environment.get(name) for name in _CREDENTIALS):
        raise DomainError(
            Reason.STORE_UNAVAILABLE,
            f"the blob store s3://{parts.netloc} needs credentials and none are in the environment",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or add instance_role=1 to the URL.",
        )
    return S3Store(_bucket(parts, options, environment), f"s3://{parts.netloc}{parts.path}")


def _bucket(parts: SplitResult, options: Mapping[str, str], environment: Mapping[str, str]) -> Bucket:
    endpoint = options.get("endpoint", "")
    keys = {name.lower(): environment[f"AWS_{name}"] for name in _KEYS if environment.get(f"AWS_{name}")}
    return Bucket(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config={"region": _region(options, environment), **({"endpoint": endpoint} if endpoint else {}), **keys},  # type: ignore[arg-type]
        virtual_hosted_style_request="virtual_host" in options,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": "3s",
            "read_timeout": "30s",
            "timeout": "5m",
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=20)},
    )


def _region(options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    return (
        options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    )


def _bad_url(what: str) -> DomainError:
    return DomainError(Reason.INVALID_FIELD, f"the URL of the blob store {what}", field="blob_url")
