"""Puts snapshots into effect, in an order in which every moment is right, and says when Envoy runs with them.

Clusters come before the routes that need them and go long after; weights that moved are under keys that name the list
they belong to, so they can be written at any time. While Envoy is away the files are written all the same: they are
what it starts with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import structlog

from services.gateway.envoy import files
from services.gateway.envoy.admin import ANSWERS, CLUSTERS, ROUTES, RUNTIME, Admin, EnvoyAway
from services.gateway.envoy.answers import Json
from services.gateway.envoy.capture import slow_key
from services.gateway.envoy.clusters import node_sets_in
from services.gateway.envoy.configuration import Configuration, Made
from services.gateway.envoy.snapshot import ModelRoute, Snapshot
from services.gateway.envoy.weights import moved, overrides

log = structlog.get_logger(__name__)

CONFIRM_SECONDS = 20.0
WARM_SECONDS = 5.0
# Clusters that no route uses any more stay for requests that are still under way in them.
RETIRE_SECONDS = 600.0
# With more moved weights than this the route table is written again, with the weights in it.
MANY_MOVED = 2_000
FIRST_LOOK_SECONDS = 0.0015
LOOK_SLOWLY_SECONDS = 0.05


class Rejected(Exception):  # noqa: N818 - what Envoy says
    """Envoy refused a file and goes on with the last one."""


class Unconfirmed(Exception):  # noqa: N818 - a state of affairs
    """The files are written, but Envoy does not show that it runs with them."""


class Publisher:
    """One Envoy's files. One `publish` at a time; `weigh` at any time, also meanwhile."""

    def __init__(self, configuration: Configuration, admin: Admin, clock: Callable[[], float] = time.monotonic) -> None:
        self._configuration = configuration
        self._admin = admin
        self._clock = clock
        self._sets: dict[str, tuple[str, ...]] = {}
        self._inherited: dict[str, list[Json]] | None = None
        self._snapshot = Snapshot()
        self._publishing = asyncio.Lock()
        self._unused_since: dict[str, float] = {}
        self._latest: Mapping[str, ModelRoute] = {}
        self._baked: Mapping[str, ModelRoute] = {}
        self._weighed: Mapping[str, ModelRoute] = {}
        self._slow: Mapping[str, int] = {}
        self._good: dict[Path, Made] = {}
        self._unread: set[Path] = set()
        self._moved: set[str] = set()
        self._weighing = asyncio.Lock()

    @property
    def baked(self) -> Mapping[str, ModelRoute]:
        """The models as in the route table that Envoy runs with."""
        return self._baked

    @property
    def crowded(self) -> bool:
        """Whether so many weights moved that the route table should be written again."""
        return len(self._moved) > MANY_MOVED

    def only_weights(self, model: str, route: ModelRoute | None) -> bool:
        """Whether the model differs from the route table in weights alone."""
        was = self._baked.get(model)
        return route is not None and was is not None and (route is was or route.shape == was.shape)

    def in_effect(self, model: str, route: ModelRoute | None) -> bool:
        """Whether Envoy is known to do exactly this with the model."""
        if route is None:
            return model not in self._baked
        weighed = self._weighed.get(model)
        return self.only_weights(model, route) and weighed is not None and weighed.weights == route.weights

    async def publish(self, snapshot: Snapshot) -> None:
        """Everything. Raises Rejected (the last good route table is back in its place) or Unconfirmed."""
        snapshot.check()
        self._latest = snapshot.models
        async with self._publishing:
            self._snapshot = snapshot
            doubts = [await self._clusters(snapshot), await self._routes(snapshot), await self._weigh()]
        _raise_first(doubts)

    async def weigh(self, models: Mapping[str, ModelRoute], changed: Iterable[str]) -> None:
        """Weights of the changed models only; returns when Envoy splits by them. Raises Unconfirmed."""
        self._latest = models
        self._moved |= set(changed)
        _raise_first([await self._weigh()])

    @property
    def has_retired(self) -> bool:
        """Whether there are clusters that nobody has used for long."""
        return any(self._retired(name) for name in self._unused_since)

    async def tidy(self) -> None:
        """What can wait: the platform's own answers, and clusters that nobody uses any more."""
        async with self._publishing:
            made = await asyncio.to_thread(self._configuration.platform, self._snapshot.models)
            doubts = [await self._put(made, ANSWERS)]
            if self.has_retired:
                doubts.append(await self._clusters(self._snapshot))
        _raise_first(doubts)

    async def _clusters(self, snapshot: Snapshot) -> str:
        if self._inherited is None:
            # What an earlier process left: Envoy routes by it until it has read ours.
            self._inherited = node_sets_in(self._configuration.files.clusters)
        needed, now = snapshot.node_sets, self._clock()
        unused = {
            name: nodes
            for name, nodes in self._sets.items()
            if name not in needed and not self._retired(name) and all(node in snapshot.nodes for node in nodes)
        }
        sets = {**unused, **needed}
        inherited = {n: made for n, made in self._inherited.items() if n not in sets and not self._retired(n)}
        made = self._configuration.clusters(sets, snapshot, [cluster for two in inherited.values() for cluster in two])
        try:
            doubt = await self._put(made, CLUSTERS)
        except Rejected as refusal:  # no model's fault: nothing of what it has is taken from Envoy
            self._put_back(made)
            raise Unconfirmed(str(refusal)) from refusal
        self._unused_since = {name: self._unused_since.get(name, now) for name in (*unused, *inherited)}
        self._sets, self._inherited = sets, inherited
        return doubt or await self._warm()

    def _retired(self, name: str) -> bool:
        since = self._unused_since.get(name)
        return since is not None and self._clock() - since > RETIRE_SECONDS

    async def _warm(self) -> str:
        """Routes to a cluster that has not heard from its nodes yet would answer 503."""

        async def warmed() -> bool:
            return (await self._admin.refusals()).warming == 0

        try:
            if not await self._until(warmed, WARM_SECONDS):
                log.warning("gateway.clusters_not_warm", seconds=WARM_SECONDS)
        except EnvoyAway as away:
            return str(away)
        return ""

    async def _routes(self, snapshot: Snapshot) -> str:
        models = snapshot.models
        made = await asyncio.to_thread(self._configuration.routes, models, snapshot.monitored)
        try:
            doubt = await self._put(made, ROUTES)
        except Rejected:
            self._put_back(made)
            raise
        self._baked, self._slow = models, slow_key(models.values())
        self._moved = set(self._latest)  # all are looked at once: some may have moved while Envoy read the table
        return doubt

    def _write(self, made: Made) -> bool:
        """Clusters change seldom; the other files often."""
        write = files.write if made.path == self._configuration.files.clusters else files.switch
        return write(made.path, made.data)

    def _put_back(self, refused: Made) -> None:
        """What Envoy would start with shall be what it runs with."""
        if good := self._good.get(refused.path):
            self._write(good)

    async def _weigh(self) -> str:
        # One at a time: who waited here finds its weights written by whoever was last in line.
        async with self._weighing:
            latest = self._latest
            self._moved = moved(latest, self._baked, self._moved)
            keys = {**overrides(latest, self._moved), **self._slow}
            doubt = await self._put(self._configuration.weights(keys), RUNTIME)
            if not doubt:
                self._weighed = latest
            return doubt

    async def _put(self, made: Made, subscription: str) -> str:
        """Writes and waits for Envoy; "" or why that is in doubt. Raises Rejected."""
        try:
            before = (await self._admin.refusals()).of(subscription) if subscription != RUNTIME else -1
        except EnvoyAway as away:
            if self._write(made):
                self._unread.add(made.path)
            return str(away)
        begun = self._clock()
        new = self._write(made)
        written = self._clock()
        # A file that was written while Envoy was away may have been refused before anybody could ask.
        known = 0 if made.path in self._unread else -1
        try:
            doubt = await self._confirm(made, subscription, before if new else known)
        except EnvoyAway as away:
            return str(away)
        if not doubt:
            self._unread.discard(made.path)
            if subscription != RUNTIME:
                self._good[made.path] = made
        if new and subscription != RUNTIME:
            log.info(
                "gateway.file_taken",
                file=made.path.name,
                bytes=len(made.data),
                write_ms=round(1000 * (written - begun), 1),
                confirm_ms=round(1000 * (self._clock() - written), 1),
                doubt=doubt,
            )
        return doubt

    async def _confirm(self, made: Made, subscription: str, refused_before: int) -> str:
        looks = 0

        async def settled() -> bool:
            nonlocal looks
            looks += 1
            if (await self._admin.versions()).get(subscription) == made.version:
                return True
            asked = refused_before >= 0 and looks % 5 == 0
            if asked and (await self._admin.refusals()).of(subscription) > refused_before:
                raise Rejected(f"Envoy refused {made.path.name}")
            return False

        if await self._until(settled, CONFIRM_SECONDS):
            return ""
        return f"Envoy does not show version {made.version} of {made.path.name} after {CONFIRM_SECONDS:g} s"

    async def _until(self, reached: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        begun, pause = self._clock(), FIRST_LOOK_SECONDS
        while self._clock() - begun < seconds:
            await asyncio.sleep(pause)
            if await reached():
                return True
            pause = min(pause * 1.5, LOOK_SLOWLY_SECONDS)
        return False


def _raise_first(doubts: list[str]) -> None:
    for doubt in doubts:
        if doubt:
            raise Unconfirmed(doubt)
