"""The suite's own commands: repeated, grown, looked at, ended; several at once; ports that are taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from infra.local import leftovers, ports
from infra.local.place import write_json
from tests.support.catalogue import Catalogue
from tests.support.suite import Suite


def _pids(suite: Suite) -> dict[str, int]:
    return {name: state.pid for name, state in suite.supervisor.states().items()}


def test_up_again_changes_nothing(own_suite: Suite) -> None:
    before = _pids(own_suite)
    answer = own_suite.cli("up")
    assert answer == {"ready": True, "data_dir": str(own_suite.place.root), "gateway": own_suite.address}
    assert _pids(own_suite) == before


def test_up_starts_what_was_stopped(own_suite: Suite) -> None:
    own_suite.stop("registry")
    own_suite.cli("up")
    assert own_suite.status()["registry"]["ready"]


def test_status_tells_what_does_not_serve(own_suite: Suite) -> None:
    assert own_suite.run("status").returncode == 0
    own_suite.stop("registry")
    done = own_suite.run("status", "--json")
    assert done.returncode == 3
    rows = {row["name"]: row for row in json.loads(done.stdout)["programs"]}
    assert (rows["registry"]["ready"], rows["registry"]["state"]) == (False, "stopped")
    assert rows["envoy"]["ready"]
    own_suite.cli("up")


def test_a_node_joins_while_the_others_serve(own_suite: Suite, catalogue: Catalogue) -> None:
    before = _pids(own_suite)
    own_suite.cli("up", "--nodes", "blue,green,red")
    after = _pids(own_suite)
    assert set(after) - set(before) == {"triton-red", "agent-red"}
    untouched = [name for name in before if not name.startswith("agent")]
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert {n.name for n in own_suite.client.nodes.list() if n.alive} == {"nodes/blue", "nodes/green", "nodes/red"}
    catalogue.serve(own_suite, "on-three", 1, 0, replicas=3)


def test_logs_show_each_program_and_refuse_unknown_ones(own_suite: Suite) -> None:
    assert "server.started" in own_suite.run("logs", "registry", "-n", "500").stdout
    assert "registry       | " in own_suite.run("logs").stdout
    refused = own_suite.run("logs", "nobody")
    assert refused.returncode == 1
    assert "registry" in refused.stderr


def test_doctor_finds_a_machine_that_is_fit(own_suite: Suite) -> None:
    findings = {f["check"]: f for f in own_suite.cli("doctor")}
    assert findings["python"]["verdict"] == "ok"
    assert findings["ports"]["found"] == "held by the running suite"


def test_a_second_suite_runs_beside_on_other_ports(own_suite: Suite, tmp_path: Path) -> None:
    other = Suite(tmp_path / "other")
    # What the first one holds is what the second one would like.
    write_json(other.place.ports, {name: int(a.rsplit(":", 1)[1]) for name, a in own_suite.endpoints.items()})
    try:
        other.up()
        assert not set(other.endpoints.values()) & set(own_suite.endpoints.values())
        assert list(other.client.models.list()) == []
    finally:
        other.down()
    assert own_suite.run("status").returncode == 0


def test_a_taken_port_moves_and_is_remembered(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "moved")
    wanted = json.loads(suite.place.ports.read_text())["gateway"]
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((ports.HOST, wanted))
        squatter.listen()
        done = suite.run("up", timeout=120)
    try:
        assert done.returncode == 0, done.stderr
        assert f"taken ports: {wanted}" in done.stderr
        moved = suite.address
        suite.down()
        suite.up()
        assert suite.address == moved
    finally:
        suite.down()


def test_down_ends_what_a_killed_supervisor_left_behind_and_nothing_else(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "orphans").up()
    os.kill(int(suite.place.supervisord_pid.read_text()), signal.SIGKILL)
    assert leftovers.find(suite.id), "the programs go on without their supervisor"
    suite.down()
    assert os.getpid() > 0


def test_two_commands_at_once_do_not_start_it_twice(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "twice")
    outcomes: list[int] = []
    threads = [threading.Thread(target=lambda: outcomes.append(suite.run("up", timeout=120).returncode)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert sorted(outcomes) == [0, 1]
        assert sum("supervisord" in _command(pid) for pid in leftovers.find(suite.id)) == 1
    finally:
        suite.down()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_a_program_that_cannot_start_is_named_with_its_log(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "broken", settings='[registry]\nno_such_setting = "x"\n')
    try:
        done = suite.run("up", "--timeout", "60", timeout=120)
        assert done.returncode == 1
        assert "registry" in done.stderr
        assert "no_such_setting" in done.stderr
        assert "bmase logs registry" in done.stderr
    finally:
        suite.down()


@pytest.mark.parametrize("nodes", ["0", "a,a", "../x", "Blue", "65"])
def test_bad_node_names_are_refused_before_anything_starts(tmp_path: Path, nodes: str) -> None:
    suite = Suite(tmp_path / "names")
    done = suite.run("up", "--nodes", nodes)
    assert done.returncode == 1
    assert "--nodes" in done.stderr
    assert not suite.place.supervisord_pid.exists()
