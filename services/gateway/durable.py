"""The gateway's own copy of the last good state: what it starts with when Consul is away, and what it gives back to a
store that lost it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.gateway.envoy.snapshot import Endpoint, Node
from services.kit.consul.model import Entry, Listing
from services.kit.files import write_atomically

log = structlog.get_logger(__name__)

FORMAT = 1
SHELVES = ("routes", "placements", "routes_carried", "placements_carried", "captures", "captures_carried")


@dataclass(frozen=True)
class Saved:
    """The last good state.

    The listings keep their epoch: only within it does a missing key mean a deleted one. What was carried over from an
    epoch before it is kept apart.
    """

    routes: Listing = field(default_factory=lambda: Listing(0, {}, ""))
    placements: Listing = field(default_factory=lambda: Listing(0, {}, ""))
    routes_carried: Mapping[str, Entry] = field(default_factory=dict)
    placements_carried: Mapping[str, Entry] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    services: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    captures: Listing = field(default_factory=lambda: Listing(0, {}, ""))
    captures_carried: Mapping[str, Entry] = field(default_factory=dict)


class Durable:
    """One file of JSON lines. Lines of entries that did not change are not made again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[tuple[str, str], tuple[Entry, bytes]] = {}

    def load(self) -> Saved:
        """Nothing when there is no file; a file that cannot be read is kept aside and counts as none."""
        if not self._path.exists():
            return Saved()
        try:
            return self._decode(self._path.read_bytes().splitlines())
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_suffix(".unreadable")
            self._path.replace(aside)
            log.error("gateway.own_copy_unreadable", kept_as=str(aside), error=str(error))
            return Saved()

    def encode(self, saved: Saved) -> bytes:
        """The file's content."""
        head = {
            "format": FORMAT,
            "routes": [saved.routes.index, saved.routes.epoch],
            "placements": [saved.placements.index, saved.placements.epoch],
            "captures": [saved.captures.index, saved.captures.epoch],
            "nodes": [asdict(node) for node in saved.nodes.values()],
            "services": {name: [asdict(e) for e in found] for name, found in saved.services.items()},
        }
        lines = [json.dumps(head).encode()]
        fresh: dict[tuple[str, str], tuple[Entry, bytes]] = {}
        shelves = {
            "routes": saved.routes.entries,
            "placements": saved.placements.entries,
            "routes_carried": saved.routes_carried,
            "placements_carried": saved.placements_carried,
            "captures": saved.captures.entries,
            "captures_carried": saved.captures_carried,
        }
        for shelf, entries in shelves.items():
            for key, entry in entries.items():
                known = self._lines.get((shelf, key))
                line = known[1] if known and known[0] is entry else _line(shelf, entry)
                fresh[shelf, key] = (entry, line)
                lines.append(line)
        self._lines = fresh
        return b"\n".join(lines)

    def write(self, data: bytes) -> None:
        """Whole and synced, then renamed: after a power loss it is the old or the new one."""
        write_atomically(self._path, data)

    def _decode(self, lines: list[bytes]) -> Saved:
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']} is not known")
        shelves: dict[str, dict[str, Entry]] = {name: {} for name in SHELVES}
        for line in lines[1:]:
            item = json.loads(line)
            entry = Entry(item["key"], base64.b64decode(item["value"]), item["index"])
            shelves[item["shelf"]][entry.key] = entry
        captures = head.get("captures", [0, ""])  # files of earlier releases have none
        return Saved(
            Listing(head["routes"][0], shelves["routes"], head["routes"][1]),
            Listing(head["placements"][0], shelves["placements"], head["placements"][1]),
            shelves["routes_carried"],
            shelves["placements_carried"],
            {item["name"]: _node(item) for item in head["nodes"]},
            {name: tuple(Endpoint(**e) for e in found) for name, found in head["services"].items()},
            Listing(captures[0], shelves["captures"], captures[1]),
            shelves["captures_carried"],
        )


def _line(shelf: str, entry: Entry) -> bytes:
    value = base64.b64encode(entry.value).decode()
    return json.dumps({"shelf": shelf, "key": entry.key, "index": entry.modify_index, "value": value}).encode()


def _node(item: dict[str, Any]) -> Node:
    http = item["http"]
    return Node(item["name"], Endpoint(**item["grpc"]), Endpoint(**http) if http else None)
