"""A lock that somebody gives: a requirements file in which every package has one version and digests of its archives.

It is what `uv pip compile --generate-hashes`, `uv export` and pip-tools write. Options of installers are refused: from
where packages come is the trainer's own matter, and the digests say which they are. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement

from services.kit.errors import InvalidArgument, Violation
from services.trainer.reproduce.packages import Lock, Package, canonical

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ]\s*(\S+)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_MADE_FOR = re.compile(r"^\s*#.*?(?:--python(?:-version)?[= ]|\bwith Python )(\d+\.\d+)", re.MULTILINE)
_OTHER_LOCK = re.compile(r"^\[\[?packages?\]\]", re.MULTILINE)  # uv.lock, poetry.lock, pylock.toml
MOST_WRONG = 20


def read_pinned(content: bytes, here: Mapping[str, str], provided: Collection[str], field: str) -> Lock:
    """The lock, for the Python that `here` tells (as `machine.running()`). `provided`: packages that are put there by
    whoever asks, and are left out. InvalidArgument about `field`, with every line that is wrong.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _wrong(field, ["it is no text in UTF-8"]) from None
    if _OTHER_LOCK.search(text):
        words = "it is no requirements file; uv makes one of uv.lock: uv export --no-emit-project --output-file FILE"
        raise _wrong(field, [words])
    python = ".".join(here["python"].split(".")[:2])
    if (made := _MADE_FOR.search(text)) and made[1] != python:
        raise _wrong(field, [f"it was made for Python {made[1]}, and the trainer has {python}"])
    wrong: list[str] = []
    packages: dict[str, Package] = {}
    for number, line in lines(text):
        try:
            package = _package(line, {canonical(name) for name in provided})
            if package is not None:
                packages[package.name] = _joined(packages.get(package.name), package)
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        raise _wrong(field, wrong)
    return Lock(**here, packages=tuple(packages.values()))


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Number of its first line, and each logical line that says something: continued ones joined, without comments."""
    begun, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first if begun else number
        line = _COMMENT.sub("", raw).rstrip()
        begun += " " + line.removesuffix("\\")
        if not line.endswith("\\"):
            if begun.strip():
                yield first, begun.strip()
            begun = ""
    if begun.strip():
        yield first, begun.strip()


def _package(line: str, provided: Collection[str]) -> Package | None:
    """None of what is not for this machine, or provided; ValueError in words."""
    if line.startswith("-"):
        raise ValueError(f"options are not taken, but for --hash: {line.split(maxsplit=1)[0]}")
    words = _HASH.sub("", line)
    try:
        asked = Requirement(words)
    except InvalidRequirement:
        raise ValueError(f"is no requirement: {words[:100]}") from None
    name = canonical(asked.name)
    if name in provided or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
        return None
    if asked.url is not None:
        raise ValueError(f"{name} is an address and no version: pin it as {name}==VERSION")
    pins = [each.version for each in asked.specifier if each.operator == "=="]
    if len(asked.specifier) != 1 or not pins or pins[0].endswith("*"):
        raise ValueError(f"{name} is not pinned: it needs one version, as in {name}==1.0")
    archives = sorted(found for found in _HASH.findall(line) if _SHA256.fullmatch(found))
    if not archives:
        raise ValueError(f"{name}=={pins[0]} has no hash: it needs --hash=sha256:... of each archive")
    return Package(name=name, version=pins[0], archives=tuple(dict.fromkeys(archives)))


def _joined(before: Package | None, now: Package) -> Package:
    if before is None:
        return now
    if before.version != now.version:
        raise ValueError(f"{now.name} is pinned twice, to {before.version} and to {now.version}")
    return now.model_copy(update={"archives": tuple(sorted({*before.archives, *now.archives}))})


def _wrong(field: str, sentences: Collection[str]) -> InvalidArgument:
    shown = list(sentences)[:MOST_WRONG]
    if len(shown) < len(sentences):
        shown.append(f"and {len(sentences) - len(shown)} more lines")
    return InvalidArgument([Violation(field, words) for words in shown])
