"""python -m infra.grafana generate: the dashboards' JSON anew; check: whether it is what the code makes."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.grafana import DASHBOARDS, models, platform

PAGES = {
    "traffic": models.traffic,
    "releases": models.releases,
    "models": models.models,
    "drift": models.drift,
    "triton": platform.triton,
    "gateway": platform.gateway,
    "services": platform.services,
}


def documents() -> dict[Path, str]:
    """The file of each dashboard."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {DASHBOARDS / f"{name}.json": encoder.encode(make().build()) + "\n" for name, make in PAGES.items()}


def stale() -> list[str]:
    """Files that are not what the code makes, or that no code makes."""
    wanted = documents()
    extra = [path.name for path in DASHBOARDS.glob("*.json") if path not in wanted]
    return extra + [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]


def main(arguments: list[str]) -> int:
    """0 when all is as it should be."""
    if arguments == ["generate"]:
        DASHBOARDS.mkdir(exist_ok=True)
        for path, text in documents().items():
            path.write_text(text)
        return 0
    if arguments == ["check"]:
        found = stale()
        print("\n".join(f"{name}: make it anew with python -m infra.grafana generate" for name in found), end="")
        return 1 if found else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
