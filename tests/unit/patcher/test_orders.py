from __future__ import annotations

from pathlib import Path

from services.kit.consul.documents import read
from services.patcher.agent.orders import OrderBook, Orders, are_complete, merged
from services.patcher.documents import SYNCED, Desired, RouteDocument, Synced

A, B = Desired(model="a", version=1, digest="d"), Desired(model="b", version=1, digest="d")
BOTH = Orders(epoch="e1", models={"a": A, "b": B})


def lying(*models: Desired, epoch: str = "") -> dict[str, bytes]:
    mark = {SYNCED: Synced(epoch=epoch).encode()} if epoch else {}
    return {model.model: model.encode() for model in models} | mark


def test_an_absent_model_goes_when_the_orders_are_complete() -> None:
    assert merged(BOTH, "e1", lying(A, epoch="e1")).models == {"a": A}


def test_an_absent_model_stays_in_a_store_that_was_wiped() -> None:
    assert merged(BOTH, "e2", {}).models == BOTH.models
    assert merged(BOTH, "e2", lying(A)).models == BOTH.models
    assert merged(BOTH, "e2", lying(A, epoch="e1")).models == BOTH.models, "a mark of another epoch"
    assert merged(BOTH, "e2", lying(A, epoch="e2")).models == {"a": A}


def test_what_cannot_be_read_is_unchanged() -> None:
    entries = {**lying(A, epoch="e1"), "b": b"{ no"}
    assert merged(BOTH, "e1", entries).models == BOTH.models
    assert merged(BOTH, "e1", {**lying(epoch="e1"), "a": B.encode(), "b": B.encode()}).models == {"a": A, "b": B}
    assert merged(Orders(), "e1", {"x": b"1", **lying(epoch="e1")}).models == {}


def test_the_copy_on_disk_survives_and_a_broken_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    book = OrderBook(path)
    assert book.take(BOTH, complete=True)
    assert not book.take(BOTH, complete=True)
    assert OrderBook(path).orders == BOTH
    path.write_bytes(path.read_bytes()[:-5])
    assert OrderBook(path).orders == Orders()


def test_a_disk_that_cannot_be_written_costs_only_the_copy_until_it_can(tmp_path: Path) -> None:
    blocked = tmp_path / "folder"
    blocked.touch()
    book = OrderBook(blocked / "orders.json")
    assert book.take(BOTH, complete=True)
    assert book.orders == BOTH
    book.save()
    blocked.unlink()
    book.save()
    assert OrderBook(blocked / "orders.json").orders == BOTH
    (blocked / "orders.json").unlink()
    book.save()
    assert not (blocked / "orders.json").exists(), "written once"


def test_orders_are_confirmed_by_this_process_and_not_by_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    OrderBook(path).take(BOTH, complete=True)
    book = OrderBook(path)
    assert not book.confirmed
    assert not book.take(BOTH, complete=False)
    assert not book.confirmed
    assert book.take(BOTH, complete=True), "that they are confirmed is news"
    assert not book.take(BOTH, complete=False)
    assert book.confirmed


def test_orders_are_complete_under_the_epoch_of_their_mark() -> None:
    assert are_complete("e1", lying(A, epoch="e1"))
    assert not are_complete("e2", lying(A, epoch="e1"))
    assert not are_complete("e1", lying(A))


def test_routes_name_the_versions_they_use() -> None:
    route = read(
        RouteDocument,
        b'{"versions": [{"version": "1", "weight": 5}, {"version": 2}], "overrides": [{"header": "x", "version": "3"}],'
        b' "mirror": {"version": 4, "percent": 5.0}, "more": 1}',
    )
    assert route is not None
    assert [route.uses(version) for version in (1, 2, 3, 4, 5)] == [True, False, True, True, False]
