"""Page tokens that name the last row of a page rather than a count.

A token therefore stays right while rows come and go before it, and finding its place costs the same on every page.
It carries what the list was asked for: a token of another list is refused instead of giving a page of nonsense.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from bmase.reasons import Reason

from services.kit.errors import DomainError

# A page ends early when its rows are large: an answer must fit into a message.
MAX_PAGE_BYTES = 2 * 1024 * 1024

Value = str | int | float


def that_fit(sizes: Sequence[int]) -> int:
    """How many items of these sizes go into one message; the first always does."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > MAX_PAGE_BYTES:
            return count
    return len(sizes)


def identity(*parts: str | bool) -> str:
    """What makes a list the same list on its next page."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def token(asked: str, last: tuple[Value, ...]) -> str:
    """The token of the page that begins after a row with these order values."""
    return base64.urlsafe_b64encode(json.dumps([asked, *last]).encode()).decode().rstrip("=")


def after(page_token: str, asked: str, types: tuple[type, ...]) -> tuple[Value, ...] | None:
    """Order values of the last row of the page before, None for a first page; raises PAGE_TOKEN_INVALID."""
    if not page_token:
        return None
    try:
        raw = base64.b64decode(page_token + "=" * (-len(page_token) % 4), altchars=b"-_", validate=True)
        identity_of, *last = json.loads(raw)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _invalid("is damaged") from None
    if identity_of != asked:
        raise _invalid("belongs to a list with another parent, filter or order")
    if len(last) != len(types) or not all(type(v) is t for v, t in zip(last, types, strict=True)):
        raise _invalid("is damaged")
    if any(isinstance(value, int) and abs(value) >= 2**63 for value in last):
        raise _invalid("is damaged")
    return tuple(last)


def _invalid(why: str) -> DomainError:
    return DomainError(
        Reason.PAGE_TOKEN_INVALID, f"the page token {why}", field="page_token", hint="Begin again without a token."
    )
