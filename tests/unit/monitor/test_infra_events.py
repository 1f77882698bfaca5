"""Losses of nodes, told from losses of the store."""

from __future__ import annotations

from services.monitor.documents import NodeStatus
from services.monitor.infra_events import Kind, Nodes

KEY = "bmase/nodes/green/status/lin"


def status(state: str, version: int = 2) -> NodeStatus:
    return NodeStatus(model="lin", version=version, state=state)


def ready() -> Nodes:
    nodes = Nodes()
    assert nodes.see(KEY, status("ready"), "one", 1.0) is None
    return nodes


def test_a_ready_version_whose_key_goes_is_lost_once() -> None:
    nodes = ready()
    lost = nodes.see(KEY, None, "one", 5.0)
    assert lost is not None
    assert (lost.kind, lost.model, lost.version, lost.time) == (Kind.NODE_LOST, "lin", 2, 5.0)
    assert "node green" in lost.message
    assert nodes.see(KEY, None, "one", 6.0) is None


def test_a_version_that_is_being_loaded_is_no_loss() -> None:
    nodes = Nodes()
    for state in ("assigned", "fetching", "loading", "warming", "ready"):
        assert nodes.see(KEY, status(state), "one", 1.0) is None
    assert nodes.see(KEY, status("ready"), "one", 2.0) is None


def test_a_version_that_has_to_load_again_was_lost() -> None:
    nodes = ready()
    assert nodes.see(KEY, status("loading"), "one", 5.0) is not None
    assert nodes.see(KEY, status("ready"), "one", 6.0) is None


def test_another_version_in_its_place_is_the_loss_of_the_first() -> None:
    lost = ready().see(KEY, status("ready", 3), "one", 5.0)
    assert lost is not None
    assert lost.version == 2


def test_a_wiped_store_is_no_loss_of_nodes() -> None:
    nodes = ready()
    assert nodes.see(KEY, None, "two", 5.0) is None
    assert nodes.see(KEY, status("ready"), "two", 6.0) is None
    assert nodes.see(KEY, None, "two", 7.0) is not None
