"""Writes the generated pages of docs/reference, and checks that the committed ones are current.

python -m infra.reference generate | check
"""

from __future__ import annotations

import sys

from infra.protos import ROOT
from infra.reference import api, errors, recipes, settings

FOLDER = ROOT / "docs" / "reference"
PAGES = {"api.md": api.page, "errors.md": errors.page, "recipes.md": recipes.page, "settings.md": settings.page}


def generate() -> None:
    """Writes every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


def check() -> None:
    """SystemExit naming the pages that differ from what the code gives."""
    stale = [name for name, page in PAGES.items() if not _current(name, page())]
    if stale:
        raise SystemExit("docs/reference is not current, run `make docs`: " + ", ".join(stale))


def _current(name: str, text: str) -> bool:
    path = FOLDER / name
    return path.exists() and path.read_text() == text


def main() -> None:
    """Entry point: one verb."""
    verbs = {"generate": generate, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        raise SystemExit("usage: python -m infra.reference generate | check")
    verbs[sys.argv[1]]()


if __name__ == "__main__":
    main()
