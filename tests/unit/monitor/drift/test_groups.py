"""Categories in groups."""

from __future__ import annotations

import json

import numpy as np

from services.monitor.drift.groups import GROUPS, KEPT, Groups


def test_few_categories_are_a_group_each() -> None:
    groups = Groups.of({"cat": 30, "dog": 10})
    assert groups.size == 3
    assert groups.counts.tolist() == [30, 10, 0]
    assert groups.count({"dog": 2, "cow": 5}).tolist() == [0, 2, 5]
    assert groups.fresh({"dog": 2, "cow": 5}) == 5


def test_many_categories_share_groups_and_what_moves_is_seen() -> None:
    names = [f"word-{index}" for index in range(300)]
    groups = Groups.of(dict.fromkeys(names, 10))
    assert groups.size == GROUPS
    assert groups.counts.sum() == 3_000
    assert (groups.counts > 0).all()
    moved = groups.count(dict.fromkeys(names[:20], 150))
    assert np.abs(moved / 3_000 - groups.counts / 3_000).sum() / 2 > 0.1


def test_of_more_categories_than_are_kept_none_is_new() -> None:
    groups = Groups.of({f"id-{index}": 1 for index in range(KEPT + 1)})
    assert not groups.complete
    assert groups.fresh({"never seen": 3}) == 0
    assert groups.count({"never seen": 3}).sum() == 3


def test_categories_seen_once_tell_of_those_not_seen() -> None:
    assert Groups.of({"a": 5, "b": 1, "c": 1}).singles == 2


def test_a_dump_is_the_same() -> None:
    groups = Groups.of({"ü": 3, "b": 1})
    again = Groups.load(json.loads(json.dumps(groups.dump())))
    assert again.count({"ü": 1, "x": 2}).tolist() == groups.count({"ü": 1, "x": 2}).tolist()
    assert (again.rows, again.singles, again.complete) == (4, 1, True)
