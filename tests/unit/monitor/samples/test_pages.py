"""Page tokens belong to one list, and pages fit into an answer."""

from __future__ import annotations

import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.monitor.samples import pages
from services.monitor.samples.model import new_id


def test_a_token_leads_back_to_its_sample() -> None:
    last = new_id(1_700_000_000.0)
    assert pages.last_of(pages.token("digits/0/False", last), "digits/0/False") == last
    assert pages.last_of("", "digits/0/False") == ""


@pytest.mark.parametrize("token", ["x", "e30=", "[]", pages.token("a", "no id"), pages.token("b", "0" * 24)])
def test_another_lists_or_a_damaged_token_is_refused(token: str) -> None:
    with pytest.raises(DomainError) as refused:
        pages.last_of(token, "a")
    assert refused.value.reason is Reason.PAGE_TOKEN_INVALID


def test_ids_sort_by_time() -> None:
    times = [0.0, 1.0, 1_700_000_000.0, 1_700_000_000.000002, 4e9]
    ids = [new_id(time) for time in times]
    assert ids == sorted(ids)


def test_a_page_of_large_samples_ends_early_but_is_never_empty() -> None:
    large = [pb.Sample(prediction="x" * 900_000) for _ in range(5)]
    assert len(pages.fitting(large)) == 2
    assert len(pages.fitting([pb.Sample(prediction="x" * 3_000_000)] * 2)) == 1
    assert len(pages.fitting([pb.Sample()] * 100)) == 100
