"""What two records differ in, part by part, in the order in which it is likely to be the cause."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from services.trainer.data import differences
from services.trainer.reproduce.code import Code
from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.packages import Lock, Origin, Package
from services.trainer.reproduce.record import Data, Record


class Change(Document):
    """One thing that is not the same. `part` is a name in `record.PARTS`; `sentence` says it all, with both values."""

    part: str
    name: str
    sentence: str


def changes(before: Record, now: Record) -> tuple[Change, ...]:
    """Empty exactly when the digests of the records are equal."""
    if before.digest == now.digest:
        return ()
    return tuple(
        Change(part=part, name=name, sentence=sentence)
        for part, found in (
            ("data", _of_data(before.data, now.data)),
            ("code", _of_code(before.code, now.code)),
            ("parameters", _of_values("parameter ", before.parameters, now.parameters)),
            ("seed", _of_values("", {"seed": before.seed}, {"seed": now.seed})),
            ("environment", _of_environment(before.environment, now.environment)),
            ("determinism", _of_values("", _flat(before.determinism), _flat(now.determinism))),
            ("resources", _of_values("", _flat(before.resources), _flat(now.resources))),
            ("machine", _of_values("", _flat(before.machine), _flat(now.machine))),
        )
        for name, sentence in found
    )


Found = Iterator[tuple[str, str]]


def _of_data(before: Mapping[str, Data], now: Mapping[str, Data]) -> Found:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield name, f"data {name} ({before[name].manifest.digest}) is gone"
        elif name not in before:
            yield name, f"data {name} ({now[name].manifest.digest}) was added"
        else:
            yield from _of_source(name, before[name], now[name])


def _of_source(name: str, before: Data, now: Data) -> Found:
    old, new = before.manifest, now.manifest
    if old.digest != new.digest:
        found = differences(old, new)
        if old.format != new.format:
            found.insert(0, f"the format was {old.format} and is {new.format}")
        # The same files in other numbers are told by nothing but the digests.
        for sentence in found or [f"the manifest had {old.digest} and has {new.digest}"]:
            yield name, f"data {name}: {sentence}"
    if before.splits != now.splits:
        yield name, f"data {name}: the splits were {before.splits or 'none'} and are {now.splits or 'none'}"


def _of_code(before: Code, now: Code) -> Found:
    old, new = ({file.path: file for file in code.files} for code in (before, now))
    yield from _of_values("code file ", old, new)
    if before.entry != now.entry:
        yield "entry", f"the entry was {before.entry} and is {now.entry}"


def _of_environment(before: Lock, now: Lock) -> Found:
    for name in ("python", "implementation", "platform"):
        yield from _of_values("", {name: getattr(before, name)}, {name: getattr(now, name)})
    old, new = ({package.name: package for package in lock.packages} for lock in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield name, f"package {_spoken(old[name])} is gone"
        elif name not in old:
            yield name, f"package {_spoken(new[name])} was added"
        elif _told(old[name]) != _told(new[name]):
            yield name, f"package {name} was {_spoken(old[name])} and is {_spoken(new[name])}"


def _told(package: Package) -> Package:
    """What its digest is over."""
    return package.model_copy(update={"archives": (), "origin": Origin.INDEX})


def _spoken(package: Package) -> str:
    content = package.content or "without a digest"
    altered = f", altered in {', '.join(package.altered)}" if package.altered else ""
    origin = "" if package.origin == "index" else f", from a {package.origin}"
    return f"{package.name} {package.version} ({content}{origin}{altered})"


def _of_values(kind: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Found:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield name, f"{kind}{name} ({before[name]}) is gone"
        elif name not in before:
            yield name, f"{kind}{name} ({now[name]}) was added"
        elif _text(before[name]) != _text(now[name]):
            yield name, f"{kind}{name} was {before[name]} and is {now[name]}"


def _text(value: object) -> str:
    """As the digest sees it: to Python, 1, 1.0 and True are equal."""
    return json.dumps(value, sort_keys=True, default=str)


def _flat(document: Any) -> dict[str, object]:
    """Fields within fields by dotted names."""
    found: dict[str, object] = {}
    for name, value in document.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found
