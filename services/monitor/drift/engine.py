"""Live traffic of all versions: what comes in, what has been found, reports. No clock, no tasks, any thread.

    engine = DriftEngine(folder, DriftSettings())
    engine.restore()                                      once, before anything else
    engine.add(model, version, {"image": array}, Role.INPUT)     the first dimension counts rows
    engine.tick(now) -> {Scope: [Finding]}                about once a second; give it to `Alerts.apply`
    engine.put_reference(request, now) -> pb.Reference
    engine.report(model, version, limit) -> pb.DriftReport
    engine.compare(model, stable, candidate) -> list[pb.FeatureDrift]
    engine.forget(model, names)                           values that must not be kept any more; None: of all tensors
    engine.snapshot()                                     each 30 s, and at the end

`now` is in seconds since 1970. A lock is held while a version is looked at or encoded, never while a reference
is built or a file is written. All but `add` may take a while and are for a thread of their own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
import structlog
from bmase.monitor.v1 import monitor_pb2 as pb

from services.kit.files import write_atomically
from services.monitor.alerts.model import Finding, Scope
from services.monitor.drift.comparison import compare_outputs
from services.monitor.drift.findings import findings_of
from services.monitor.drift.reports import drift_report
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.snapshots import decode, encode, named
from services.monitor.drift.version import LiveVersion
from services.monitor.references import ReferenceStore
from services.monitor.sketches import Role
from services.monitor.sketches.archive import Unreadable

log = structlog.get_logger(__name__)

DEFAULT_LIMIT = 20
MAX_VERSIONS = 4_096  # also those of which nothing could be read


class DriftEngine:
    """References below `folder/references`, the state of live traffic below `folder/live`."""

    def __init__(self, folder: Path, settings: DriftSettings | None = None) -> None:
        self.settings = settings or DriftSettings()
        self.forgotten = 0  # versions that made room
        self._references = ReferenceStore(folder / "references", self.settings.references_cached)
        self._folder = folder / "live"
        self._versions: OrderedDict[tuple[str, int], LiveVersion] = OrderedDict()  # used last is last
        self._lock = threading.RLock()

    def add(
        self,
        model: str,
        version: int,
        tensors: Mapping[str, np.ndarray],
        role: Role | str,
        left_out: Collection[str] = (),
    ) -> None:
        """Adds the tensors of one request, or of its answer.

        `left_out` names those that were there and must not be looked at (redacted ones): without it an input that the
        reference has and the request has not counts as missing.
        """
        with self._lock:
            live = self._live(model, version)
            before = len(live.tensors)
            live.add(tensors, Role(role), left_out)
            if len(live.tensors) != before:
                self._make_room()

    def tick(self, now: float) -> dict[Scope, list[Finding]]:
        """What is wrong with each version that has a reference; windows that are full end here."""
        made: dict[Scope, list[Finding]] = {}
        with self._lock:
            for (model, number), version in self._versions.items():
                version.tick(now)
                made |= findings_of(model, number, version)
        return made

    def report(self, model: str, version: int, limit: int = 0) -> pb.DriftReport:
        """What is known of a version; REFERENCE_NOT_FOUND is not raised: the report says that there is none."""
        with self._lock:
            live = self._versions.get((model, version))
            if live is None and self._references.find(model, version) is not None:
                live = self._live(model, version)
            for tensor in live.tensors.values() if live else ():
                tensor.sketch.flush()
            name = f"models/{model}/versions/{version}"
            return drift_report(name, live, self.settings, limit or DEFAULT_LIMIT)

    def compare(self, model: str, stable: int, candidate: int) -> list[pb.FeatureDrift]:
        """What the two answer on live traffic; empty when one of them has not been seen."""
        with self._lock:
            found = [self._versions.get((model, number)) for number in (stable, candidate)]
            a, b = found
            return compare_outputs(a, b, self.settings) if a and b else []

    def put_reference(self, request: pb.PutReferenceRequest, now: float) -> pb.Reference:
        """Raises InvalidArgument and REFERENCE_EXISTS. What was counted without a reference is forgotten."""
        reference = self._references.put(request, now)
        key = _parsed(reference.name)
        with self._lock:
            live = self._versions.get(key)
            if live is not None and live.reference is None:
                self._versions[key] = LiveVersion(self.settings, reference)
        return reference.message()

    def reference(self, model: str, version: int) -> pb.Reference:
        """Raises REFERENCE_NOT_FOUND."""
        return self._references.get(model, version).message()

    def forget(self, model: str, names: Collection[str] | None) -> None:
        """Drops what was seen of a model's tensors of these names, and what was written of it; None: of all tensors.

        For values that must not be kept any more: sketches hold some of them as they were.
        """
        with self._lock:
            for key in [key for key in self._versions if key[0] == model]:
                if names is None:
                    del self._versions[key]
                elif not self._versions[key].forget(names):
                    continue
                self._path(*key).unlink(missing_ok=True)

    def snapshot(self) -> int:
        """Writes what has changed; how many files. Raises OSError; what was not written is tried again next time."""
        with self._lock:
            changed = [(key, version) for key, version in self._versions.items() if version.changed]
        for key, version in changed:
            with self._lock:
                version.changed = False
                data = encode(*key, version)
            try:
                write_atomically(self._path(*key), data)
            except OSError:
                version.changed = True
                raise
            with self._lock:
                if self._versions.get(key) is not version:  # forgotten while it was written
                    self._path(*key).unlink(missing_ok=True)
        return len(changed)

    def restore(self) -> int:
        """Reads what was written; how many versions. Files that cannot be used are kept aside."""
        paths = sorted(self._folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        with self._lock:
            return sum(self._restore(path) for path in paths)

    def _restore(self, path: Path) -> bool:
        try:
            data = path.read_bytes()
            key = named(data)
            self._versions[key] = decode(data, self.settings, self._references.find(*key))
        except (Unreadable, KeyError, TypeError, ValueError, RuntimeError) as error:
            log.error("monitor.live_state_unreadable", file=path.name, error=str(error))
            path.replace(path.with_suffix(".unreadable"))
            return False
        self._make_room()
        return True

    def _live(self, model: str, version: int) -> LiveVersion:
        key = (model, version)
        if key not in self._versions:
            self._versions[key] = LiveVersion(self.settings, self._references.find(model, version))
            self._make_room()
        self._versions.move_to_end(key)
        return self._versions[key]

    def _make_room(self) -> None:
        total = sum(version.features for version in self._versions.values())
        while len(self._versions) > 1 and (total > self.settings.max_features or len(self._versions) > MAX_VERSIONS):
            key, oldest = self._versions.popitem(last=False)
            total -= oldest.features
            self.forgotten += 1
            self._path(*key).unlink(missing_ok=True)
            log.warning("monitor.live_state_forgotten", model=key[0], version=key[1], features=oldest.features)

    def _path(self, model: str, version: int) -> Path:
        return self._folder / f"{quote(model, safe='')}@{version}.npz"


def _parsed(name: str) -> tuple[str, int]:
    _, model, _, version = name.split("/")
    return model, int(version)
