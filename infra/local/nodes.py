"""Which serving nodes a suite has: colours by default, since two is what a release needs."""

from __future__ import annotations

import re

from infra.local.errors import SuiteError

COLOURS = ("blue", "green", "red", "amber", "violet", "cyan", "olive", "pink")
NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
MOST = 64


def parse(text: str) -> tuple[str, ...] | None:
    """`3` or `blue,green` as names; nothing said is None, which keeps what was."""
    if not text:
        return None
    names = _numbered(int(text)) if text.isdecimal() else tuple(part.strip() for part in text.split(","))
    if not 1 <= len(names) <= MOST or len(set(names)) != len(names) or not all(NAME.fullmatch(n) for n in names):
        raise SuiteError(
            f"--nodes {text!r} is neither a number from 1 to {MOST} nor a list of different names",
            hint="names have lower-case letters, digits and hyphens, for example --nodes blue,green,red",
        )
    return names


def _numbered(count: int) -> tuple[str, ...]:
    return (*COLOURS[:count], *(f"node-{n}" for n in range(len(COLOURS) + 1, count + 1)))
