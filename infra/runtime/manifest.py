"""The pinned list of binaries, read from `manifest.toml` into immutable items that check themselves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from infra.runtime.errors import ManifestError

MANIFEST = Path(__file__).with_name("manifest.toml")
KINDS = ("pypi", "sdist", "debian", "venv")
_ARCHIVES = {"pypi": "wheel", "sdist": "source distribution"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Fields that came after items were in people's caches: without a value they do not make another item.
_LATER = frozenset({"requirements", "entry", "data"})


@dataclass(frozen=True)
class Item:
    """One thing to bring: where it comes from, what its bytes must be, which programs it holds."""

    name: str
    kind: str
    package: str
    version: str
    executables: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    sha256: str = ""  # empty only for Debian items trusted by apt's signature
    suite: str = ""
    unpack: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    modes: tuple[str, ...] = ()  # files made executable besides the executables
    requirements: str = ""  # of an environment: the file below the checkout that pins its wheels
    entry: str = ""  # of an environment: `module:function` that its one program calls
    data: str = ""  # of a Debian package: the folder that its programs look for below /, instead of here
    system: bool = False
    default: bool = False

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise ManifestError(f"manifest item {self.name!r}: {problem}")

    @property
    def key(self) -> str:
        """Names the unpacked folder: any change of what is fetched or unpacked gives another one."""
        said = {name: value for name, value in asdict(self).items() if value or name not in _LATER}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.name}-{self.version}-{digest}"

    def wants(self, member: str) -> bool:
        """True when the archive's `member` belongs to what is unpacked."""
        return _covered(member, self.unpack) and not _covered(member, self.omit)


def _covered(member: str, patterns: Iterable[str]) -> bool:
    return any(member.startswith(p) if p.endswith("/") else member == p for p in patterns)


def _problem(item: Item) -> str:
    """The first contradiction in an item, or nothing."""
    unsafe = [p for p in _paths(item) if _escapes(p)]
    contradictions = {
        f"kind must be one of {KINDS}, not {item.kind!r}": item.kind not in KINDS,
        "names neither executables nor libraries": not (item.executables or item.libraries),
        "sha256 is not 64 lower-case hexadecimal digits": bool(item.sha256) and not _SHA256.fullmatch(item.sha256),
        "file and sha256 belong together": bool(item.file) != bool(item.sha256),
        f"a {_ARCHIVES.get(item.kind)} needs file, sha256 and unpack": item.kind in _ARCHIVES
        and not (item.sha256 and item.unpack),
        "a Debian package needs its suite": item.kind == "debian" and not item.suite,
        "an environment needs requirements, an entry and one executable": item.kind == "venv"
        and not (item.requirements and item.entry and len(item.executables) == 1),
        "only an unpinned Debian package has data": bool(item.data) and (item.kind != "debian" or bool(item.sha256)),
        f"path {unsafe[:1]} leaves the item's folder": bool(unsafe),
    }
    return next((problem for problem, holds in contradictions.items() if holds), "")


def _paths(item: Item) -> list[str]:
    return [
        *item.executables.values(),
        *item.libraries.values(),
        *item.links,
        *item.modes,
        *item.unpack,
        item.file,
        item.requirements,
        item.data,
    ]


def _escapes(path: str) -> bool:
    return path.startswith("/") or ".." in PurePosixPath(path).parts


def parse(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Item]:
    """Items by name from the decoded file; raises `ManifestError` on unknown keys and contradictions."""
    known = {f.name for f in fields(Item)} - {"name"}
    items: dict[str, Item] = {}
    for name, table in tables.items():
        if unknown := set(table) - known:
            raise ManifestError(f"manifest item {name!r}: unknown key {sorted(unknown)[0]!r}")
        items[name] = _item(name, table)
    _check_unique_executables(items.values())
    return items


def _item(name: str, table: Mapping[str, Any]) -> Item:
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return Item(name=name, **values)
    except TypeError as error:
        raise ManifestError(f"manifest item {name!r}: {error}") from None


def _check_unique_executables(items: Iterable[Item]) -> None:
    owner: dict[str, str] = {}
    for item in items:
        for executable in item.executables:
            if executable in owner:
                raise ManifestError(f"executable {executable!r} is in both {owner[executable]!r} and {item.name!r}")
            owner[executable] = item.name


def load(path: Path = MANIFEST) -> dict[str, Item]:
    """The project's pinned items by name."""
    import tomllib  # noqa: PLC0415 - absent before Python 3.11, where preflight must still be able to say so

    return parse(tomllib.loads(path.read_text(encoding="utf-8")))
