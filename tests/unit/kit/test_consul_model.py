"""The pure decisions about what Consul answers."""

from __future__ import annotations

import base64

import pytest
from bmase.reasons import Reason
from hypothesis import given
from hypothesis import strategies as st

from services.kit.consul.model import (
    MAX_VALUE_BYTES,
    Entry,
    Instance,
    KvOp,
    Listing,
    checked_key,
    checked_name,
    decode_entries,
    decode_instance,
    encode,
    next_index,
)
from services.kit.errors import DomainError


def item(key: str, value: bytes | None, index: int, session: str = "") -> dict[str, object]:
    encoded = base64.b64encode(value).decode() if value else None
    return {"Key": key, "Value": encoded, "ModifyIndex": index, "CreateIndex": 1, "Session": session}


def listing(epoch: str, **values: str) -> Listing:
    return Listing(1, {key: Entry(key, value.encode(), 1) for key, value in values.items()}, epoch)


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [(0, 0, 1), (0, 7, 7), (7, 8, 8), (7, 7, 7), (7, 6, 0), (7, 0, 0), (1, 0, 0)],
)
def test_the_next_index_never_stands_for_not_blocking_unless_the_store_went_back(
    asked: int, answered: int, expected: int
) -> None:
    assert next_index(asked, answered) == expected


@given(st.integers(0, 50), st.lists(st.integers(0, 50), min_size=1))
def test_after_going_back_the_next_query_but_one_blocks_again(first: int, answers: list[int]) -> None:
    index = first
    for answered in answers:
        following = next_index(index, answered)
        assert following >= 1 or answered < index
        index = following
    assert next_index(0, answers[-1]) >= 1


def test_entries_that_did_not_change_are_not_decoded_again() -> None:
    first = decode_entries([item("a", b"1", 5), item("b", b"2", 6)], {})
    second = decode_entries([item("a", b"1", 5), item("b", b"3", 7), item("c", None, 8)], first)
    assert second["a"] is first["a"]
    assert (second["b"].value, second["c"].value) == (b"3", b"")


def test_an_entry_that_changed_hands_is_another_entry() -> None:
    first = decode_entries([item("a", b"1", 5, "one")], {})
    assert decode_entries([item("a", b"1", 5, "two")], first)["a"].session == "two"


def test_changes_are_what_was_written_and_what_is_gone() -> None:
    changes = listing("e", a="1", b="2").changes_since(listing("e", a="1", b="1", c="1"))
    assert changes.written.keys() == {"b"}
    assert changes.gone == {"c"}


def test_nothing_is_gone_in_a_new_epoch() -> None:
    changes = listing("new", a="1").changes_since(listing("old", a="1", c="1"))
    assert changes.written.keys() == {"a"}
    assert not changes.gone
    assert listing("e", a="1").changes_since(None).written.keys() == {"a"}


@pytest.mark.parametrize(("value", "stored"), [(b"\x00", b"\x00"), ("ü", "ü".encode()), ({"b": 1, "a": "ü"}, None)])
def test_values_are_encoded_the_same_way_every_time(value: object, stored: bytes | None) -> None:
    assert encode("k", value) == (stored if stored is not None else b'{"a":"\\u00fc","b":1}')  # type: ignore[arg-type]


def test_the_limit_of_a_value_is_exact() -> None:
    encode("k", b"x" * MAX_VALUE_BYTES)
    with pytest.raises(DomainError) as refused:
        encode("k", b"x" * (MAX_VALUE_BYTES + 1))
    assert refused.value.reason is Reason.REQUEST_TOO_LARGE


@pytest.mark.parametrize("key", ["", "/a", "a?b", "a#b", "a%2fb", "a\nb", "a\x00b", "x" * 513])
def test_keys_that_a_url_would_change_are_refused(key: str) -> None:
    with pytest.raises(DomainError) as refused:
        checked_key(key)
    assert refused.value.reason is Reason.INVALID_FIELD


def test_a_name_is_one_segment() -> None:
    assert checked_name("blue-1.a_b") == "blue-1.a_b"
    with pytest.raises(DomainError):
        checked_name("blue/../green")


@pytest.mark.parametrize("value", [b"", b"no json", b"[1]", b'"text"', b"\xff"])
def test_a_value_that_is_no_document_is_reported_with_its_key(value: bytes) -> None:
    with pytest.raises(DomainError, match="bmase/x"):
        Entry("bmase/x", value, 1).json()


def test_an_operation_carries_only_what_its_verb_needs() -> None:
    assert KvOp("delete-cas", "a", index=0).payload() == {"KV": {"Verb": "delete-cas", "Key": "a", "Index": 0}}
    assert KvOp("set", "a", "1").payload() == {"KV": {"Verb": "set", "Key": "a", "Value": "MQ=="}}


def test_an_instance_without_an_address_is_at_its_node() -> None:
    service = {"ID": "a-1", "Address": "", "Port": 5, "Meta": None, "Tags": None}
    assert decode_instance({"Service": service, "Node": {"Address": "10.0.0.1"}}) == Instance("a-1", "10.0.0.1", 5)
    assert Instance("a", "::1", 5).target == "[::1]:5"
