"""Page tokens."""

from __future__ import annotations

import base64
import json

import pytest
from bmase.reasons import Reason
from hypothesis import given
from hypothesis import strategies as st

from services.kit import pages
from services.kit.errors import DomainError
from services.kit.pages import MAX_PAGE_BYTES

ASKED = pages.identity("models", "filter", "", False)


def refused(token: str, asked: str = ASKED, types: tuple[type, ...] = (str, int)) -> str:
    with pytest.raises(DomainError) as caught:
        pages.after(token, asked, types)
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID
    return caught.value.message


@given(st.tuples(st.text(max_size=63), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False)))
def test_a_token_carries_its_place_exactly(place: tuple[str, int, float]) -> None:
    assert pages.after(pages.token(ASKED, place), ASKED, (str, int, float)) == place


def test_the_first_page_has_no_place() -> None:
    assert pages.after("", ASKED, (str,)) is None


def test_a_token_of_another_list_is_refused() -> None:
    token = pages.token(ASKED, ("digits", 3))
    for other in (("versions", "filter", "", False), ("models", "", "", False), ("models", "filter", "", True)):
        assert "another parent" in refused(token, pages.identity(*other))


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "%",
        "AA",
        pages.token(ASKED, ("digits", 3))[:-4],
        encoded([]),
        encoded({}),
        encoded(7),
        encoded([ASKED]),
        encoded([ASKED, "digits"]),
        encoded([ASKED, "digits", "3"]),
        encoded([ASKED, "digits", True]),
        encoded([ASKED, "digits", 2**70]),
        encoded([ASKED, ["digits"], 3]),
        "W" * 2000,
    ],
)
def test_a_damaged_token_is_refused(token: str) -> None:
    assert "damaged" in refused(token) or "another" in refused(token)


@given(st.text(max_size=100))
def test_any_text_is_no_token(text: str) -> None:
    if text:
        refused(text)


def test_as_many_as_fit_and_always_one() -> None:
    assert pages.that_fit([]) == 0
    assert pages.that_fit([1, 2, 3]) == 3
    assert pages.that_fit([10 * MAX_PAGE_BYTES, 1]) == 1
    assert pages.that_fit([MAX_PAGE_BYTES // 2] * 3) == 2
