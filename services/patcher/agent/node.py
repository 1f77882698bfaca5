"""The node's loop: orders in, the next step of every model started, its word to the patcher out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from services.patcher.agent.decide import Act, Slot, next_act, preload, startable, status, take_orders
from services.patcher.agent.orders import OrderBook
from services.patcher.agent.publish import Publisher
from services.patcher.agent.repository import Preload
from services.patcher.agent.steps import Steps, Tools

log = structlog.get_logger(__name__)

LONGEST_NAP = 1.0
STEPS_AT_ONCE = 8


@dataclass
class Running:
    """A step under way."""

    act: Act
    task: asyncio.Task[Slot]
    slot: Slot  # as it was when the step began
    progress: str = ""


class Node:
    """Converges Triton to the orders. All state is here and changes only in this task."""

    def __init__(self, tools: Tools, orders: OrderBook, names: Preload, publisher: Publisher) -> None:
        self._tools = tools
        self._orders = orders
        self._preload = names
        self._publisher = publisher
        self._steps = Steps(tools, self._kept)
        self._running: dict[str, Running] = {}
        self._wake = asyncio.Event()
        proven = set(names.names)
        occupants = tools.repository.occupants.items()
        self.slots = {model: Slot(occupant=who, proven=model in proven) for model, who in occupants}

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._obey()
                self._finish()
                self._break_off()
                self._remember()
                self._start()
                self._tell()
                await self._nap()
        finally:
            await self._stop()

    def _obey(self) -> None:
        wanted = self._orders.orders.models
        for model in wanted.keys() | self.slots.keys() | self._strangers():
            slot = self.slots.get(model, Slot())
            if slot.wanted != wanted.get(model):
                self.slots[model] = take_orders(slot, wanted.get(model))
            elif model not in self.slots:
                self.slots[model] = slot

    def _strangers(self) -> set[str]:
        """Models that Triton has loaded and nobody asked for: they go, like everything that is not wanted."""
        return {model for model in self._tools.monitor.view.loaded if not model.startswith("_")}

    def _finish(self) -> None:
        """Takes over what finished steps have found out, under the orders of now."""
        for model, running in [(m, r) for m, r in self._running.items() if r.task.done()]:
            del self._running[model]
            if running.task.cancelled():
                continue
            done, wanted = running.task.result(), self.slots[model].wanted
            self.slots[model] = done if done.wanted == wanted else take_orders(done, wanted)

    def _break_off(self) -> None:
        """A download that nobody wants any more."""
        for model, running in self._running.items():
            if running.act is Act.FETCH and running.slot.wanted != self.slots[model].wanted:
                running.task.cancel()

    def _remember(self) -> None:
        """Before anything is unloaded, and before anything is called ready. A full disk must not stop the rest."""
        self._orders.save()
        try:
            self._preload.write(preload(self.slots, self._orders.confirmed))
        except OSError as error:
            log.warning("models_file_not_written", error=error.strerror)

    def _start(self) -> None:
        now, view = time.monotonic(), self._tools.monitor.view
        due: dict[str, Act] = {}
        for model, slot in list(self.slots.items()):
            act = None if model in self._running else next_act(model, slot, view, now, self._orders.confirmed)
            if act is Act.FORGET:
                del self.slots[model]
            elif act is not None:
                due[model] = act
        running = {model: r.act for model, r in self._running.items()}
        for model in startable(due, running, self.slots)[: max(STEPS_AT_ONCE - len(running), 0)]:
            self._begin(model, due[model])

    def _begin(self, model: str, act: Act) -> None:
        slot = self.slots[model]

        def progress(words: str) -> None:
            running.progress = words

        running = Running(act, asyncio.create_task(self._steps.run(act, model, slot, progress)), slot)
        running.task.add_done_callback(lambda _: self.wake())
        self._running[model] = running

    def _tell(self) -> None:
        view, said = self._tools.monitor.view, {}
        for model, slot in self.slots.items():
            running = self._running.get(model)
            words = (running.act, running.progress) if running else (None, "")
            if (found := status(model, slot, view, *words)) is not None:
                said[model] = found
        self._publisher.statuses(said)
        self._publisher.alive(view.up and view.usable, self._tools.monitor.message)

    def _kept(self) -> set[str]:
        """What must not be evicted: all files of all wanted versions."""
        return {file.digest for desired in self._orders.orders.models.values() for file in desired.files}

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_NAP):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _stop(self) -> None:
        for running in self._running.values():
            running.task.cancel()
        await asyncio.gather(*(r.task for r in self._running.values()), return_exceptions=True)
