from __future__ import annotations

from dataclasses import replace

import pytest
from bmase.reasons import Reason
from hypothesis import given
from hypothesis import strategies as st

from services.patcher.agent.decide import (
    Act,
    Identity,
    Slot,
    TritonView,
    crashed,
    failed,
    identity,
    is_ready,
    next_act,
    preload,
    startable,
    status,
    take_orders,
)
from services.patcher.documents import Desired, Step

ONE = Desired(model="m", version=1, digest="d1")
TWO = Desired(model="m", version=2, digest="d2")
UP = TritonView(life=1, up=True, usable=True)


def has(*versions: int, life: int = 1) -> TritonView:
    return TritonView(life=life, up=True, usable=True, loaded={"m": frozenset(versions)})


READY = Slot(wanted=ONE, occupant=identity(ONE), fetched=True, loaded_in=1, warmed_in=1, proven=True)


@pytest.mark.parametrize(
    ("slot", "triton", "act"),
    [
        (Slot(), UP, Act.FORGET),
        (Slot(wanted=ONE), UP, Act.FETCH),
        (Slot(wanted=ONE), TritonView(), Act.FETCH),  # a Triton that is away does not hold the download up
        (Slot(wanted=ONE, fetched=True), TritonView(), None),
        (Slot(wanted=ONE, fetched=True), replace(UP, usable=False), None),
        (Slot(wanted=ONE, fetched=True), UP, Act.LOAD),
        (replace(READY, warmed_in=-1), has(1), Act.WARM),
        (READY, has(1), None),
        (READY, has(), Act.LOAD),  # somebody unloaded it behind our back
        (READY, has(1, life=2), Act.LOAD),  # Triton was started again and loaded it by itself: verify and prove anew
        (replace(READY, wanted=TWO, fetched=True), has(1), Act.UNLOAD),
        (replace(READY, wanted=None), has(1), Act.UNLOAD),
        (replace(READY, wanted=None), TritonView(life=1), None),  # it cannot say that the model is out
        (replace(READY, wanted=None), TritonView(life=1, gone=True), Act.UNLOAD),  # nothing is loaded where nobody is
        (Slot(), has(7), Act.UNLOAD),  # a stranger
    ],
)
def test_the_next_step(slot: Slot, triton: TritonView, act: Act | None) -> None:
    assert next_act("m", slot, triton, 0.0) is act


@pytest.mark.parametrize(
    ("slot", "triton"),
    [
        (Slot(), has(7)),  # a stranger: perhaps only to a copy of the orders that was lost
        (replace(READY, wanted=None), has(1)),
        (replace(READY, wanted=None), TritonView(life=1, gone=True)),
        (replace(READY, wanted=TWO, fetched=True), has(1)),  # perhaps the orders of long ago
    ],
)
def test_orders_that_nobody_has_confirmed_take_nothing_down(slot: Slot, triton: TritonView) -> None:
    assert next_act("m", slot, triton, 0.0, confirmed=False) is None
    assert next_act("m", slot, triton, 0.0) is Act.UNLOAD
    assert next_act("m", Slot(wanted=ONE, fetched=True), UP, 0.0, confirmed=False) is Act.LOAD


slots = st.builds(
    Slot,
    wanted=st.sampled_from([None, ONE, TWO]),
    occupant=st.sampled_from([None, Identity(1, "d1"), Identity(2, "d2")]),
    fetched=st.booleans(),
    loaded_in=st.integers(-1, 2),
    warmed_in=st.integers(-1, 2),
    proven=st.booleans(),
)
views = st.builds(
    TritonView,
    life=st.integers(0, 2),
    up=st.booleans(),
    gone=st.booleans(),
    usable=st.booleans(),
    loaded=st.sampled_from([{}, {"m": frozenset({1})}, {"m": frozenset({2})}]),
)


@given(slots, views)
def test_never_loads_over_another_version(slot: Slot, triton: TritonView) -> None:
    act = next_act("m", slot, triton, 0.0)
    if act in (Act.LOAD, Act.WARM):
        assert slot.wanted is not None
        assert slot.occupant in (None, identity(slot.wanted))
    if act is Act.UNLOAD:
        assert triton.up or triton.gone


@given(slots, views)
def test_ready_means_that_nothing_is_left_to_do(slot: Slot, triton: TritonView) -> None:
    if is_ready("m", slot, triton) and slot.fetched and slot.occupant in (None, identity(slot.wanted or ONE)):
        assert next_act("m", slot, triton, 0.0) is None


def test_waits_double_up_to_a_ceiling_and_lasting_failures_wait_for_a_person() -> None:
    slot, waits = Slot(wanted=ONE), []
    for _ in range(6):
        slot = failed(slot, Reason.SERVICE_UNAVAILABLE, "away", lasting=False, now=100.0)
        assert slot.failure is not None
        waits.append(slot.failure.retry_at - 100.0)
        assert next_act("m", slot, UP, 100.0) is None
        assert next_act("m", slot, UP, slot.failure.retry_at) is Act.FETCH
    assert waits == [1, 2, 4, 8, 10, 10]
    lasting = failed(slot, Reason.LOAD_FAILED, "broken", lasting=True, now=0.0)
    assert next_act("m", lasting, UP, 1e9) is None
    assert take_orders(lasting, ONE).failure is not None
    assert take_orders(lasting, ONE.model_copy(update={"generation": 2})).failure is None
    assert take_orders(lasting, TWO).failure is None


def test_what_failed_for_good_is_not_left_loaded() -> None:
    slot = failed(replace(READY, proven=False, warmed_in=-1), Reason.WARMUP_FAILED, "wrong", lasting=True, now=0.0)
    assert next_act("m", slot, has(1), 1e9) is Act.UNLOAD
    assert next_act("m", replace(slot, occupant=None), UP, 1e9) is None


def test_a_version_that_brings_triton_down_is_tried_twice() -> None:
    slot = crashed(Slot(wanted=ONE, fetched=True), "Triton ended", 0.0)
    assert next_act("m", slot, UP, 100.0) is Act.LOAD
    slot = crashed(slot, "Triton ended", 0.0)
    assert slot.failure is not None
    assert slot.failure.lasting
    assert next_act("m", slot, UP, 1e9) is None


def test_a_suspect_is_tried_alone() -> None:
    many = {"a": Slot(wanted=ONE), "b": Slot(wanted=ONE), "suspect": Slot(wanted=ONE, crashes=1)}
    due = dict.fromkeys(many, Act.LOAD)
    assert startable(due, {}, many) == ["a", "b"]
    assert startable({"suspect": Act.LOAD}, {"a": Act.LOAD}, many) == []
    assert startable({"suspect": Act.LOAD}, {"a": Act.FETCH}, many) == ["suspect"]
    assert startable({"a": Act.LOAD, "b": Act.FETCH}, {"suspect": Act.WARM}, many) == ["b"]


def test_preloads_exactly_what_is_wanted_there_and_proven() -> None:
    held = {
        "good": READY,
        "unwanted": replace(READY, wanted=None),
        "unproven": replace(READY, proven=False),
        "other": replace(READY, wanted=TWO),
    }
    assert preload(held) == ["good"]
    assert preload(held, confirmed=False) == ["good", "unwanted"]
    assert preload({"gone": replace(READY, wanted=None, occupant=None)}, confirmed=False) == []


def test_says_how_it_is() -> None:
    def said(slot: Slot, triton: TritonView = UP, running: Act | None = None) -> Step | None:
        found = status("m", slot, triton, running)
        return found.state if found else None

    assert said(READY, has(1)) is Step.READY
    assert said(READY, TritonView(life=1)) is Step.LOST
    assert said(replace(READY, loaded_in=0), replace(has(1), usable=False)) is Step.LOST
    assert said(Slot(wanted=ONE), running=Act.FETCH) is Step.FETCHING
    assert said(Slot(wanted=ONE, fetched=True), running=Act.LOAD) is Step.LOADING
    assert said(replace(READY, wanted=None), has(1)) is Step.DRAINING
    assert said(Slot(), UP) is None
    full = failed(Slot(wanted=ONE), Reason.STORAGE_FULL, "full", lasting=False, now=0.0)
    assert said(full, UP, Act.FETCH) is Step.FAILED
    away = failed(Slot(wanted=ONE), Reason.SERVICE_UNAVAILABLE, "away", lasting=False, now=0.0)
    assert said(away) is Step.FETCHING
