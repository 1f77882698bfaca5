"""Tokens that name the last sample of a page: the next page begins after it, whatever came or went meanwhile."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence

from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import DomainError

MAX_PAGE_BYTES = 2 * 1024 * 1024
_ID = re.compile(r"[0-9a-f]{24}")


def token(list_of: str, last: str) -> str:
    """`list_of` is what the list was asked for: its next page has to be asked for the same."""
    return base64.urlsafe_b64encode(json.dumps([list_of, last]).encode()).decode()


def last_of(page_token: str, list_of: str) -> str:
    """The id of the last sample that was seen; empty for a first page. Raises PAGE_TOKEN_INVALID."""
    if not page_token:
        return ""
    try:
        of, last = json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _invalid("is damaged") from None
    if of != list_of:
        raise _invalid("belongs to a list of something else")
    if not isinstance(last, str) or not _ID.fullmatch(last):
        raise _invalid("is damaged")
    return last


def fitting(samples: Sequence[pb.Sample]) -> Sequence[pb.Sample]:
    """As many as an answer has room for, and one at least."""
    size = 0
    for count, sample in enumerate(samples):
        size += sample.ByteSize()
        if size > MAX_PAGE_BYTES and count > 0:
            return samples[:count]
    return samples


def _invalid(why: str) -> DomainError:
    return DomainError(
        Reason.PAGE_TOKEN_INVALID, f"the page token {why}", field="page_token", hint="Begin again without a token."
    )
