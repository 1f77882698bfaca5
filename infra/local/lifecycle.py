"""Up and down: what is written, started, waited for and ended, in which order."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from infra.local import leftovers, observability, ports
from infra.local.errors import SuiteError
from infra.local.place import Identity, Place, read_json, write_json
from infra.local.programs import common_environment, consul_configuration, programs
from infra.local.readiness import wait_until_ready
from infra.local.suite import Suite
from infra.local.supervision import Supervisor, render
from infra.local.view import View

DEFAULT_NODES = ("blue", "green")
END_SECONDS = 10.0


def up(
    place: Place,
    nodes: tuple[str, ...] | None,
    timeout: float,
    view: View,
    observed: bool | None = None,
    *,
    trains: bool | None = None,
) -> Suite:
    """Starts what does not run and waits until everything serves. Repeating it changes nothing.

    `observed` is with or without Prometheus and Alertmanager, `trains` with or without the trainer; None is as it was.
    Raises `SuiteError` naming the culprit and the end of its log; what runs by then goes on running.
    """
    place.make()
    with place.locked():
        supervisor = Supervisor(place)
        running = supervisor.alive()
        identity = Identity.read_or_make(place, nodes, DEFAULT_NODES, observed, trains)
        _check_training(identity)
        suite = _prepare(place, identity, running, view)
        if running:
            supervisor.update()
            supervisor.start_stopped()
        else:
            supervisor.start(suite.identity.id)
        asyncio.run(wait_until_ready(suite, supervisor, timeout, view))
    return suite


def _check_training(identity: Identity) -> None:
    """Training needs libraries that serving does without."""
    absent = [name for name in ("ray", "torch") if identity.trains and importlib.util.find_spec(name) is None]
    if absent:
        hint = "Install them with: make setup-training. Or go on without the trainer: bmase up --no-training"
        raise SuiteError(f"the trainer needs {' and '.join(absent)}, which is not installed", hint=hint)


def _prepare(place: Place, identity: Identity, running: bool, view: View) -> Suite:
    """Everything on disk that the programs are started from."""
    if not running and (count := leftovers.end(identity.id, END_SECONDS)):
        view.note(f"ended {count} processes that an earlier run had left behind")
    suite = Suite(place, identity, _ports(place, identity, running, view), observability.installed_grafana())
    _write(place.run / "consul.json", consul_configuration(suite))
    for path, text in observability.files(suite).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)
    _write(place.supervisord_conf, render(place, programs(suite), common_environment(suite)))
    return suite


def _ports(place: Place, identity: Identity, running: bool, view: View) -> dict[str, int]:
    wanted = ports.defaults(identity.nodes, identity.observed, identity.trains)
    remembered = {name: int(port) for name, port in read_json(place.ports).items()}
    chosen = ports.choose(wanted, remembered, ports.is_free, keep=frozenset(remembered if running else ()))
    if moved := _moved(wanted, remembered, chosen):
        taken = ", ".join(str(remembered.get(name, wanted[name])) for name in moved)
        entrance = f"; clients connect to port {chosen['gateway']}" if "gateway" in moved else ""
        view.note(f"taken ports: {taken}; others were chosen, and are kept from now on{entrance}")
    write_json(place.ports, {**remembered, **chosen})
    write_json(place.endpoints, ports.endpoints(chosen))
    return chosen


def _moved(wanted: Mapping[str, int], remembered: Mapping[str, int], chosen: Mapping[str, int]) -> dict[str, int]:
    """Ports that are others than those of the last time (or, the first time, than the documented ones)."""
    return {name: port for name, port in chosen.items() if port != remembered.get(name, wanted[name])}


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def load(place: Place) -> Suite | None:
    """The suite of this place as it was last started; None when there never was one."""
    identity, known = Identity.read(place), read_json(place.ports)
    return Suite(place, identity, known, observability.installed_grafana()) if identity and known else None


def down(place: Place, view: View) -> int:
    """Ends everything of this suite and nothing else; how many processes had to be ended past their supervisor."""
    suite = load(place)
    if suite is None:
        return 0
    with place.locked():
        supervisor = Supervisor(place)
        if supervisor.alive():
            _stop_in_order(suite, supervisor, view)
        return leftovers.end(suite.identity.id, END_SECONDS)


def _stop_in_order(suite: Suite, supervisor: Supervisor, view: View) -> None:
    """The entrance first, then what changes things, then the nodes, Consul last."""
    listed = programs(suite)
    for stage in sorted({p.stage for p in listed}, reverse=True):
        names = [p.name for p in listed if p.stage == stage]
        view.note("stopping " + ", ".join(names))
        supervisor.stop_stage(names)
    pid = _pid(suite.place)
    supervisor.shutdown()
    deadline = time.monotonic() + END_SECONDS
    while pid and _exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def _pid(place: Place) -> int:
    try:
        return int(place.supervisord_pid.read_text())
    except (OSError, ValueError):
        return 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def purge(place: Place) -> None:
    """Removes the data of a suite that is down; only a folder that is one."""
    if not place.identity.exists():
        raise SuiteError(f"{place.root} is no data folder of a suite", hint="nothing was removed")
    shutil.rmtree(place.root)
