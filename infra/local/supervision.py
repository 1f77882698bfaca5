"""supervisord: its configuration, its start, and its control by a socket in the data folder."""

from __future__ import annotations

import configparser
import contextlib
import functools
import getpass
import http.client
import io
import os
import re
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from infra.local.errors import SuiteError
from infra.local.place import CHECKOUT, MARKER, Place
from infra.local.suite import Program

LOG_BYTES, LOG_BACKUPS = "20MB", 3
START_SECONDS = 10.0
CALL_SECONDS, ALIVE_SECONDS = 60.0, 3.0
# Crashed programs come back within a second; one that dies at once again waits a second longer each time. No last try:
# a full disk or a missing peer may be mended an hour later.
RETRIES = 100_000
AT_REST = ("STOPPED", "EXITED", "FATAL")
BAD_NAME, NOT_RUNNING, ALREADY_STARTED, ALREADY_ADDED = 10, 70, 60, 90


@dataclass(frozen=True)
class ProcessState:
    """What supervisord says of a program."""

    name: str
    state: str  # RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL, ...
    pid: int
    since: int  # Unix time of the last start or stop

    @property
    def runs(self) -> bool:
        return self.state in ("RUNNING", "STARTING")


def render(place: Place, programs: Iterable[Program], common: Mapping[str, str]) -> str:
    """supervisord's configuration. Percent signs are doubled as its interpolation wants; paths it expands twice."""
    if "%" in str(place.root):
        raise SuiteError(f"{place.root} has a percent sign in it", hint="use a data folder with a plainer name")
    conf = configparser.RawConfigParser()
    conf["unix_http_server"] = {"file": _escape(str(place.socket)), "chmod": "0700"}
    conf["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    conf["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",  # its log is in a file, which is rotated
        "directory": _escape(str(CHECKOUT)),
        "logfile": _escape(str(place.log("supervisord"))),
        "logfile_maxbytes": LOG_BYTES,
        "logfile_backups": str(LOG_BACKUPS),
        "pidfile": _escape(str(place.supervisord_pid)),
        "childlogdir": _escape(str(place.logs)),
        "strip_ansi": "false",
        "minfds": "1024",
        **({"user": getpass.getuser()} if os.getuid() == 0 else {}),
    }
    for program in programs:
        conf[f"program:{program.name}"] = _section(place, program, common)
    text = io.StringIO()
    conf.write(text)
    return text.getvalue()


def _section(place: Place, program: Program, common: Mapping[str, str]) -> dict[str, str]:
    return {
        "command": _escape(shlex.join(program.command)),
        "directory": _escape(str(CHECKOUT)),
        "environment": ",".join(_assignment(k, v) for k, v in {**common, **program.environment}.items()),
        "autostart": "true",
        "autorestart": "true",
        "startsecs": "2",
        "startretries": str(RETRIES),
        "stopsignal": "TERM",
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _escape(str(place.log(program.name))),
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }


def _escape(text: str) -> str:
    """Percent signs are its interpolation; a comment sign after a space would cut the value."""
    if re.search(r"\s[;#]|[\r\n]", text):
        raise SuiteError(f"{text!r} cannot be given to supervisord", hint="use a data folder with a plainer name")
    return text.replace("%", "%%")


def _assignment(name: str, value: str) -> str:
    """NAME="value" for supervisord's reader, which knows quotes but no way to write a quote inside them."""
    if '"' in value:
        raise SuiteError(f"{name}={value} cannot be given to supervisord", hint="use a data folder with a plainer name")
    return f'{name}="{_escape(value)}"'


class _Connection(UnixStreamHTTPConnection):
    """Never waits for ever for a supervisord that hangs."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost")
        self.socketfile, self._seconds = path, seconds

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._seconds)


class _Transport(SupervisorTransport):
    """Never reuses a connection that a failed call left behind."""

    def __init__(self, place: Place, seconds: float) -> None:
        super().__init__(None, None, serverurl=f"unix://{place.socket}")
        self._get_connection = functools.partial(_Connection, str(place.socket), seconds)

    def request(self, host: Any, handler: Any, request_body: Any, verbose: int = 0) -> Any:
        try:
            return super().request(host, handler, request_body, verbose)
        finally:
            self.close()


class Supervisor:
    """Control of one suite's supervisord. Every call may raise `SuiteError` when it does not answer."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def _call(self, method: str, *arguments: Any, seconds: float = CALL_SECONDS) -> Any:
        # The host is never dialled: the transport goes to the socket.
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=_Transport(self._place, seconds))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault:
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SuiteError(
                f"supervisord does not answer at {self._place.socket}: {error}",
                hint="stop what is left with `bmase down`, then start again",
            ) from error

    def alive(self) -> bool:
        """Whether a supervisord serves this place now."""
        try:
            return bool(self._call("getState", seconds=ALIVE_SECONDS)["statename"] == "RUNNING")
        except SuiteError:
            return False

    def states(self) -> dict[str, ProcessState]:
        """Every program by name."""
        listed = self._call("getAllProcessInfo")
        return {p["name"]: ProcessState(p["name"], p["statename"], p["pid"], p["start"]) for p in listed}

    def start(self, suite_id: str) -> None:
        """Starts supervisord, apart from this terminal, and waits until it answers."""
        with self._place.log("supervisord-start").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._place.supervisord_conf)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env={**os.environ, MARKER: suite_id},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.alive():
            if process.poll() is not None or time.monotonic() > deadline:
                said = self._place.log("supervisord-start").read_text(errors="replace").splitlines()
                hint = "`bmase doctor` may know why"
                raise SuiteError("supervisord did not start", details=tuple(said[-10:]), hint=hint)
            time.sleep(0.05)

    def update(self) -> None:
        """Takes the rewritten configuration over: what is new or changed is (re)started, the rest left alone."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._tolerate("stopProcessGroup", name)
            self._tolerate("removeProcessGroup", name)
        for name in (*added, *changed):
            self._tolerate("addProcessGroup", name)

    def start_stopped(self) -> None:
        """Starts what somebody stopped or what waits after a crash."""
        for name, process in self.states().items():
            if process.state == "BACKOFF":
                self._tolerate("stopProcess", name)
            if not process.runs:
                self.start_program(name)

    def start_program(self, name: str) -> None:
        """Starts one program, without waiting for it."""
        self._tolerate("startProcess", name, False)

    def stop_stage(self, names: Iterable[str]) -> None:
        """Stops these programs, all at once, and waits; supervisord itself kills what outlives its patience."""
        wanted = set(names)
        for name in wanted:
            self._tolerate("stopProcess", name, False)
        while any(p.name in wanted and p.state not in AT_REST for p in self.states().values()):
            time.sleep(0.05)

    def shutdown(self) -> None:
        """Ends supervisord itself, with whatever still runs under it."""
        with contextlib.suppress(SuiteError):
            self._call("shutdown")

    def _tolerate(self, method: str, *arguments: Any) -> None:
        """A fault here means that the wanted state is reached already or that the group has just gone."""
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (BAD_NAME, NOT_RUNNING, ALREADY_STARTED, ALREADY_ADDED):
                raise SuiteError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
