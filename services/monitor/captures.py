"""What of each model is sampled and kept: settings that survive, and what the gateways are told of them.

Settings are kept twice: in a file here, and in the model's document in Consul (`bmase/captures/<model>`), which
gateways read and a successor on another machine begins with. The one with the larger `revision` counts, so neither the
loss of Consul's data nor of this folder loses an opt-out.

The same document says whether a comparison judges the model, and from when on a request is slow. This module is its
only writer; comparisons call `set_judged`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import structlog
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason
from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.kit.consul import Consul, Entry, Listing
from services.kit.consul.documents import CAPTURES
from services.kit.errors import DomainError
from services.kit.files import write_atomically
from services.monitor.documents import CaptureDocument
from services.monitor.samples.model import Rules

log = structlog.get_logger(__name__)

TensorName = Annotated[str, Field(min_length=1, max_length=256)]
TRIES = 8


class CaptureSettings(BaseModel):
    """What `UpdateCapture` sets; 0 and "" mean the service's defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    percent: float | None = Field(default=None, ge=0, le=100)
    opt_out: bool = False
    redacted: tuple[TensorName, ...] = ()
    retention: float = Field(default=0.0, ge=0)
    max_bytes: int = Field(default=0, ge=0)
    label_output: str = ""
    revision: int = 0

    @property
    def hidden(self) -> frozenset[str]:
        """Tensors whose values are not kept."""
        return frozenset(self.redacted)

    def shown_percent(self) -> float | None:
        """What gateways are told: nothing leaves them of a model that opted out."""
        return 0.0 if self.opt_out else self.percent


class Defaults(BaseModel):
    """What holds for models without settings of their own."""

    model_config = ConfigDict(frozen=True)

    percent: float = 1.0
    retention: float = 86_400.0
    max_bytes: int = 64 * 1024 * 1024


UNSET = CaptureSettings()


class Captures:
    """The settings of all models. `run` only while this monitor leads: two writers would undo each other's words."""

    def __init__(
        self,
        path: Path,
        consul: Consul,
        defaults: Defaults | None = None,
    ) -> None:
        self._path = path
        self._consul = consul
        self.defaults = defaults or Defaults()
        self.on_change: Callable[[str], None] = lambda model: None
        self._settings: dict[str, CaptureSettings] = load(path)
        self._judged: dict[str, float] = {}
        self._writing = asyncio.Lock()
        self._saving = asyncio.Lock()

    def of(self, model: str) -> CaptureSettings:
        """The model's settings, as they were set."""
        return self._settings.get(model, UNSET)

    def rules(self, model: str) -> Rules:
        """What the settings mean for what is stored."""
        found = self.of(model)
        return Rules(
            opt_out=found.opt_out,
            redacted=found.redacted,
            retention=found.retention or self.defaults.retention,
            max_bytes=found.max_bytes or self.defaults.max_bytes,
        )

    async def update(self, model: str, settings: CaptureSettings) -> CaptureSettings:
        """Takes effect here at once and is on disk when this returns; gateways follow as soon as Consul answers."""
        revision = max(self.of(model).revision + 1, time.time_ns() // 1_000_000)
        fresh = settings.model_copy(update={"revision": revision})
        self._settings[model] = fresh
        self.on_change(model)
        if not any([await self._save(), await self._publish_soon(model)]):
            raise DomainError(
                Reason.STORAGE_FULL,
                f"the settings of '{model}' are in effect but kept nowhere: neither {self._path.parent} nor Consul"
                " takes them",
                hint="Free space in data_dir or bring Consul back, then send the call again.",
            )
        return fresh

    async def set_judged(self, model: str, slow_ms: float | None) -> None:
        """Gateways report failed requests of the model, and those of `slow_ms` and slower (0: none); None ends it.

        Returns when Consul has it, or when it is known to be away: then `run` brings it there later.
        """
        if slow_ms is None:
            self._judged.pop(model, None)
        else:
            self._judged[model] = slow_ms
        await self._publish_soon(model)

    async def run(self) -> None:
        """Keeps Consul's documents as they should be, whoever lost or changed them. For ever."""
        async for listing in self._consul.watch(CAPTURES):
            self._adopt(listing)
            wanted = {CAPTURES + model for model in (*self._settings, *self._judged)}
            for key in sorted(wanted | set(listing.entries)):
                if self._document(key, listing.entries.get(key)) is not None:
                    await self._publish_soon(key.removeprefix(CAPTURES))

    def message(self, model: str) -> pb.Capture:
        """The settings as the contract shows them, defaults filled in."""
        found, rules = self.of(model), self.rules(model)
        percent = self.defaults.percent if found.percent is None else found.percent
        return pb.Capture(
            name=f"captures/{model}",
            percent=percent,
            opt_out=found.opt_out,
            redacted=found.redacted,
            retention=Duration(seconds=int(rules.retention), nanos=int(rules.retention % 1 * 1e9)),
            max_bytes=rules.max_bytes,
            label_output=found.label_output,
        )

    def _adopt(self, listing: Listing) -> None:
        """Settings that are newer in Consul than here: an earlier leader's."""
        for key, entry in listing.entries.items():
            model, found = key.removeprefix(CAPTURES), parse(entry.value)
            if found is not None and found.revision > self.of(model).revision:
                self._settings[model] = found
                self.on_change(model)

    async def _publish_soon(self, model: str) -> bool:
        """Whether Consul has it; if not, `run` sees the difference as soon as it can be written."""
        try:
            return await self._publish(model)
        except DomainError as error:
            log.warning("captures.not_published", model=model, error=error.message)
            return False

    async def _publish(self, model: str) -> bool:
        key = CAPTURES + model
        async with self._writing:
            for _ in range(TRIES):
                entry = await self._consul.kv.get(key)
                document = self._document(key, entry)
                if document is None:
                    return True
                if await self._consul.kv.cas(key, document, entry.modify_index if entry else 0):
                    return True
        log.warning("captures.contended", model=model)
        return False

    def _document(self, key: str, entry: Entry | None) -> bytes | None:
        """What has to be written at the key; None when nothing has."""
        model = key.removeprefix(CAPTURES)
        found, slow = self.of(model), self._judged.get(model)
        stored = parse(entry.value) if entry else None
        if stored is not None and stored.revision > found.revision:
            found = stored  # not adopted yet; never overwritten by what is older
        kept = {} if found == UNSET else {"settings": found.model_dump(exclude_defaults=True)}
        said = {"percent": found.shown_percent(), "judged": slow is not None, "slow_ms": slow or 0.0}
        document = CaptureDocument.model_validate({**said, **kept})
        if document.says_nothing and entry is None:
            return None
        made = document.encode()
        return None if entry is not None and entry.value == made else made

    async def _save(self) -> bool:
        async with self._saving:
            data = {model: found.model_dump(exclude_defaults=True) for model, found in self._settings.items()}
            try:
                await asyncio.to_thread(save, self._path, data)
            except OSError as error:
                log.error("captures.not_saved", path=str(self._path), error=error.strerror)
                return False
            return True


def parse(raw: bytes) -> CaptureSettings | None:
    """The settings in a document of Consul; None when it has none."""
    try:
        found = json.loads(raw)
        return CaptureSettings.model_validate(found["settings"])
    except (ValueError, KeyError, TypeError):
        return None


def load(path: Path) -> dict[str, CaptureSettings]:
    """The settings of the file; one that cannot be read is kept aside, and Consul's copy has to do."""
    if not path.exists():
        return {}
    try:
        return {model: CaptureSettings.model_validate(item) for model, item in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError, ValidationError) as error:
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        log.error("captures.unreadable", kept_as=str(aside), error=type(error).__name__)
        return {}


def save(path: Path, data: Mapping[str, object]) -> None:
    """For the next process."""
    write_atomically(path, json.dumps(data).encode())
