"""Debian packages: fetched and verified by apt from the mirror this machine already uses, without touching the system.

apt gets a configuration of its own (one source, private lists and cache), so neither root nor a change of the machine's
sources is needed; apt checks Debian's signature either way.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.runtime import preflight
from infra.runtime.errors import RuntimeSetupError
from infra.runtime.manifest import Item
from infra.runtime.store import check_digest, make_executable

DATA_FD = 9


@dataclass(frozen=True)
class PrivateApt:
    """apt-get with one suite as its only source and every folder private."""

    folder: Path
    suite: str
    item: str

    def prepare(self) -> None:
        """Makes the folders and the source list and reads the suite's index."""
        for part in ("lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        line = f"deb [signed-by={preflight.KEYRING}] {debian_mirror(self.item)} {self.suite} main\n"
        (self.folder / "sources.list").write_text(line, encoding="utf-8")
        self.run("update", "--error-on=any")

    def run(self, *arguments: str) -> None:
        """Runs apt-get in the private folder; a failure becomes one message with apt's last words."""
        done = subprocess.run(
            ["apt-get", *self._options(), "-qq", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise RuntimeSetupError(
                f"{self.item}: apt-get {arguments[0]} of Debian suite {self.suite} failed: {_last_words(done.stderr)}\n"
                f"Check the network and the machine's Debian mirror (`apt-get update`), or point"
                f" {preflight.override_variable(self.item)} at a program of your own."
            )

    def _options(self) -> list[str]:
        settings = {
            "Dir::Etc::sourcelist": f"{self.folder}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": f"{self.folder}/lists",
            "Dir::Cache": f"{self.folder}/cache",
            "Acquire::Languages": "none",
            "APT::Architecture": "amd64",
            "Debug::NoLocking": "1",  # the folders are ours alone, the system's lock is not ours to take
        }
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # _apt may not enter a private folder
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _last_words(stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("E:")]
    return (errors or stderr.strip().splitlines() or ["no output"])[-1]


def debian_mirror(item: str) -> str:
    """The main Debian mirror in the machine's own apt sources."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(SITE)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    uri = choose_mirror(listed)
    if uri is None:
        raise RuntimeSetupError(
            f"{item}: this machine's apt sources name no Debian mirror, and this item is a Debian package."
            f" Run on Debian 12, or point {preflight.override_variable(item)} at a program of your own."
        )
    return uri


def choose_mirror(listed: str) -> str | None:
    """Picks Debian's own archive from lines `origin|label|uri|site`; the security archive has no whole suites."""
    rows = [line.split("|") for line in listed.splitlines() if line.count("|") == 3]
    for _, label, uri, _ in rows:
        if label == "Debian":
            return uri
    # Before the first `apt-get update` there are no Release files to tell origin and label: go by the path.
    unread = [uri for origin, label, uri, _ in rows if not origin and not label]
    return next((uri for uri in unread if uri.rstrip("/").endswith("/debian")), None)


def fetch(item: Item, folder: Path) -> list[Path]:
    """Downloads the item's packages into `folder`: the pinned one alone, or the signed one with what it lacks here."""
    preflight.check_debian_tools(item.name)
    apt = PrivateApt(folder, item.suite, item.name)
    apt.prepare()
    if item.sha256:
        apt.run("download", f"{item.package}={item.version}")
        check_digest(folder / item.file, item.sha256)
        return [folder / item.file]
    # Relative to what dpkg says is installed: only missing libraries come along. Nothing is installed.
    apt.run("install", "--yes", "--download-only", "--no-install-recommends", item.package)
    return sorted((folder / "cache/archives").glob("*.deb"))


def unpack(item: Item, archives: list[Path], folder: Path) -> None:
    """Extracts all packages into one tree; items with libraries of their own get starters that find them."""
    for archive in archives:
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True, capture_output=True)
    if not item.sha256:
        for executable in item.executables.values():
            _wrap(folder, executable, item.data)


def _wrap(folder: Path, executable: str, data: str) -> None:
    """Moves the program to `NAME.real` and puts a starter with the private library path in its place."""
    program = folder / executable
    real = program.rename(program.with_name(program.name + ".real"))
    if data:
        real.write_bytes(relocated(real.read_bytes(), data))
    # `readlink -f` keeps the starter right through links and wherever the folder finally lies.
    program.write_text(wrapper_script(executable, data), encoding="utf-8")
    make_executable(program)


def relocated(program: bytes, data: str) -> bytes:
    """The program with its absolute path of `data` turned into the folder its starter opens, at the same length."""
    path, here = f"/{data}".encode(), f"/proc/self/fd/{DATA_FD}".encode()
    if path not in program or len(here) > len(path):
        raise RuntimeSetupError(f"the program does not look for /{data}; manifest.toml is out of date.")
    return program.replace(path, here.ljust(len(path), b"/"))


def wrapper_script(executable: str, data: str = "") -> str:
    """A starter for a program unpacked at `executable` below its root folder."""
    opened = f'exec {DATA_FD}< "$root/"{shlex.quote(data)}\n' if data else ""
    up = "/".join([".."] * executable.count("/"))
    return (
        "#!/bin/sh\n"
        'here=$(dirname "$(readlink -f "$0")")\n'
        f'root="$here/{up}"\n'
        'export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu'
        '${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        f"{opened}"
        f'exec "$here/{shlex.quote(executable.rsplit("/", 1)[-1])}.real" "$@"\n'
    )
