"""The steps of a model at the edge: each does what is missing, may be repeated, and returns the slot afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

import aiohttp
import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.agent.decide import Act, Slot, crashed, failed, identity, postponed
from services.patcher.agent.fetch import BrokenArtefactError, Fetcher
from services.patcher.agent.monitor import Monitor
from services.patcher.agent.repository import Repository
from services.patcher.agent.store import Store, full, is_full
from services.patcher.agent.triton import Triton, TritonGoneError, TritonRefusedError, pending_of
from services.patcher.agent.warmup import Warmup, WarmupError, read_samples
from services.patcher.documents import Desired

log = structlog.get_logger(__name__)

QUIET_PERIOD = 0.1
UNLOADED_WITHIN = 30.0
# Trouble that passes by itself; everything else waits for a person.
_PASSING = frozenset({Reason.SERVICE_UNAVAILABLE, Reason.STORAGE_FULL, Reason.STORE_UNAVAILABLE, Reason.DRAINING}) | {
    Reason.DEADLINE_EXCEEDED,
    Reason.INTERNAL,
    Reason.COORDINATION_UNAVAILABLE,
    Reason.OVERLOADED,
    Reason.UNAUTHENTICATED,  # a token that is being replaced, here or there
}


class DamagedError(Exception):
    """Files in the node's own store are not what they were."""


@dataclass(frozen=True)
class Tools:
    """What the steps work with."""

    triton: Triton
    monitor: Monitor
    store: Store
    repository: Repository
    fetcher: Fetcher
    warmup: Warmup
    metrics: str  # address of Triton's metrics
    load_seconds: float
    unload_seconds: float


class Steps:
    """Carries out one step after the other; `keep` names the digests that no step may evict."""

    def __init__(self, tools: Tools, keep: Callable[[], Collection[str]]) -> None:
        self._tools = tools
        self._keep = keep

    async def run(self, act: Act, model: str, slot: Slot, progress: Callable[[str], None]) -> Slot:
        """The slot after the step, whether it went well or not."""
        log.info("step", act=act.value, model=model, version=slot.wanted.version if slot.wanted else None)
        try:
            done = await self._carry_out(act, model, slot, progress)
        except TritonGoneError as error:
            await self._tools.monitor.look()  # nothing it had loaded may be called ready any longer
            return self._as_it_lies(model, self._gone(act, slot, error))
        except Exception as error:
            return self._as_it_lies(model, self._failed(act, model, slot, error))
        return replace(done, failure=done.failure if act is Act.UNLOAD and done.wanted else None)

    def _as_it_lies(self, model: str, slot: Slot) -> Slot:
        """A step that failed may have laid the version out before; only what is known to be there is ever removed."""
        return replace(slot, occupant=self._tools.repository.occupants.get(model))

    def _carry_out(self, act: Act, model: str, slot: Slot, progress: Callable[[str], None]) -> Awaitable[Slot]:
        if act is Act.UNLOAD or slot.wanted is None:
            return self._unload(model, slot)
        if act is Act.FETCH:
            return self._fetch(slot, slot.wanted, progress)
        return self._load(slot, slot.wanted) if act is Act.LOAD else self._warm(slot, slot.wanted)

    async def _fetch(self, slot: Slot, wanted: Desired, progress: Callable[[str], None]) -> Slot:
        received = 0

        def count(size: int) -> None:
            nonlocal received
            received += size
            progress(f"{received * 100 // max(wanted.size_bytes, 1)} % of {_human(wanted.size_bytes)} received")

        await self._tools.fetcher.fetch(wanted.files, self._keep, count)
        return replace(slot, fetched=True)

    async def _load(self, slot: Slot, wanted: Desired) -> Slot:
        life = self._tools.monitor.view.life
        changed = await asyncio.to_thread(self._prepare, wanted)
        slot = replace(slot, occupant=identity(wanted))
        if changed or wanted.version not in self._tools.monitor.view.loaded.get(wanted.model, ()):
            await self._tools.triton.load(wanted.model, self._tools.load_seconds)
        await self._tools.monitor.look()
        if wanted.version not in self._tools.monitor.view.loaded.get(wanted.model, ()):
            raise TritonRefusedError("Triton said that it was loaded, but does not list it as ready")
        return replace(slot, loaded_in=life)

    def _prepare(self, wanted: Desired) -> bool:
        """Verifies every file, then lays the version out; True when that changed something."""
        damaged = [file.path for file in wanted.files if not self._tools.store.verify(file.digest)]
        if damaged:
            raise DamagedError(f"{damaged[0]} was damaged on the node's disk; it is fetched again")
        return self._tools.repository.lay_out(wanted)

    async def _warm(self, slot: Slot, wanted: Desired) -> Slot:
        life = self._tools.monitor.view.life
        samples = read_samples(await asyncio.to_thread(self._tools.repository.samples, wanted))
        await self._tools.warmup.run(wanted.model, wanted.version, samples)
        return replace(slot, warmed_in=life, proven=True, crashes=0)

    async def _unload(self, model: str, slot: Slot) -> Slot:
        if not self._tools.monitor.view.gone:
            await self._unload_from_triton(model)
        await asyncio.to_thread(self._tools.repository.remove, model)
        await self._tools.monitor.look()
        return replace(slot, occupant=None, loaded_in=-1, warmed_in=-1, proven=False)

    async def _unload_from_triton(self, model: str) -> None:
        triton = self._tools.triton
        if model in self._tools.monitor.view.loaded:
            await self._wait_until_quiet(model)
        with contextlib.suppress(TritonRefusedError):  # Triton never heard of it
            await triton.unload(model)
        deadline = time.monotonic() + UNLOADED_WITHIN
        while {"READY", "LOADING", "UNLOADING"} & set((await triton.states(model)).values()):
            if time.monotonic() > deadline:
                raise TimeoutError
            await asyncio.sleep(QUIET_PERIOD)

    async def _wait_until_quiet(self, model: str) -> None:
        """Until no request waits and none has been answered for a moment; bounded, as stragglers may always come."""
        deadline = time.monotonic() + self._tools.unload_seconds
        before = -1
        while time.monotonic() < deadline:
            answered = await self._answered(model)
            if answered == before and await self._pending(model) == 0:
                return
            before = answered
            await asyncio.sleep(QUIET_PERIOD)

    async def _answered(self, model: str) -> int:
        try:
            return await self._tools.triton.answered(model)
        except TritonRefusedError:
            return 0

    async def _pending(self, model: str) -> int:
        timeout = aiohttp.ClientTimeout(total=1)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{self._tools.metrics}/metrics") as answer,
            ):
                return pending_of(await answer.text(), model)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    def _gone(self, act: Act, slot: Slot, error: TritonGoneError) -> Slot:
        if act is Act.UNLOAD and slot.failure and slot.failure.lasting:
            return postponed(slot, time.monotonic())
        if act in (Act.LOAD, Act.WARM) and not error.hangs:
            return crashed(slot, "Triton ended while it loaded the version", time.monotonic())
        return failed(slot, Reason.SERVICE_UNAVAILABLE, str(error), lasting=False, now=time.monotonic())

    def _failed(self, act: Act, model: str, slot: Slot, error: Exception) -> Slot:
        reason, message, lasting = judged(act, error)
        if act is Act.UNLOAD and slot.failure and slot.failure.lasting:
            return postponed(slot, time.monotonic())
        lasting = lasting and not slot.proven and slot.wanted is not None
        again = failed(slot, reason, message, lasting=lasting, now=time.monotonic())
        log.warning("step_failed", act=act.value, model=model, reason=reason.value, message=message, lasting=lasting)
        if isinstance(error, DamagedError):
            return replace(again, fetched=False, proven=slot.proven)
        return again


def judged(act: Act, error: Exception) -> tuple[Reason, str, bool]:
    """Reason, words, and whether it lasts until somebody changes something."""
    match error:
        case DomainError():
            verdict = (error.reason, error.message, error.reason not in _PASSING)
        case DamagedError():
            verdict = (Reason.DIGEST_MISMATCH, str(error), False)
        case BrokenArtefactError():
            verdict = (Reason.DIGEST_MISMATCH, f"{error}; register the version again", True)
        case WarmupError():
            verdict = (Reason.WARMUP_FAILED, f"{error}; correct the version or its sample and register it again", True)
        case TritonRefusedError():
            verdict = (Reason.LOAD_FAILED, f"Triton refused the version: {error}", act is Act.LOAD)
        case TimeoutError():
            verdict = (Reason.DEADLINE_EXCEEDED, f"Triton has not finished to {act.value} the model in time", False)
        case OSError() if is_full(error):
            verdict = (Reason.STORAGE_FULL, full("the node's disk is full").message, False)
        case _:
            log.error("step_defect", exc_info=error)
            verdict = (Reason.INTERNAL, f"the agent failed to {act.value} the version; its log says why", False)
    return verdict


def _human(size: int) -> str:
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"
