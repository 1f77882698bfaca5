"""Which ports a suite takes."""

from __future__ import annotations

import pytest

from infra.local import ports
from infra.local.errors import SuiteError


def test_documented_ports_when_they_are_free() -> None:
    wanted = ports.defaults(["blue", "green"])
    assert ports.choose(wanted, {}, lambda _port: True) == wanted
    assert len(set(wanted.values())) == len(wanted), "two parts want the same port"


def test_no_two_parts_of_a_large_suite_want_the_same_port() -> None:
    wanted = ports.defaults(f"n{i}" for i in range(64))
    chosen = ports.choose(wanted, {}, lambda _port: True)
    assert len(set(chosen.values())) == len(wanted)


def test_remembered_ports_come_first() -> None:
    chosen = ports.choose({"gateway": 8080, "consul": 8500}, {"gateway": 20_100}, lambda _port: True)
    assert chosen == {"gateway": 20_100, "consul": 8500}


def test_a_remembered_port_that_was_taken_falls_back_to_the_documented() -> None:
    assert ports.choose({"gateway": 8080}, {"gateway": 20_100}, lambda port: port != 20_100) == {"gateway": 8080}


def test_taken_ports_move_together_out_of_the_way() -> None:
    taken = {8080, 8500}
    chosen = ports.choose({"gateway": 8080, "consul": 8500, "registry": 8082}, {}, lambda port: port not in taken)
    assert chosen["registry"] == 8082
    assert chosen["consul"] == chosen["gateway"] + 1
    assert chosen["gateway"] in ports.OTHERS


def test_ports_that_our_own_programs_hold_are_kept() -> None:
    chosen = ports.choose({"gateway": 8080}, {"gateway": 20_100}, lambda _port: False, keep=frozenset({"gateway"}))
    assert chosen == {"gateway": 20_100}


def test_two_names_never_share_a_remembered_port() -> None:
    chosen = ports.choose({"a": 8080, "b": 8081}, {"a": 9000, "b": 9000}, lambda _port: True)
    assert chosen == {"a": 9000, "b": 8081}


def test_no_free_port_is_an_error_with_a_next_step() -> None:
    with pytest.raises(SuiteError, match="no 1 free ports"):
        ports.choose({"gateway": 8080}, {}, lambda _port: False)
