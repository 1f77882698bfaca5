"""Calls to other services that a decision needs: each beside the loop, once at a time, and again later if it fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc
import structlog

from services.kit.errors import DomainError, translated
from services.patcher import effects as fx
from services.patcher.routes import Routes
from services.patcher.state import Deployment, Finish, Key, Mark, Phase, RouteWish, Stay, Transition
from services.patcher.versions import Versions

log = structlog.get_logger(__name__)

FIRST_RETRY = 0.5
LONGEST_RETRY = 5.0

Errand = fx.Hold | fx.ReleaseHold | fx.GiveRoute | fx.TakeFromRoute | fx.CheckRoute
Failing = tuple[type, Key]
# Keeps what the errand has settled; the deployment is looked up anew, as it may have changed meanwhile.
Keep = Callable[[Deployment, Callable[[Deployment], Transition]], Awaitable[None]]


class Errands:
    """The leader's errands.

    Those that change one model's route never run together. One that waits after a failure holds no other one up.
    """

    def __init__(self, versions: Versions, routes: Routes, keep: Keep) -> None:
        self._versions = versions
        self._routes = routes
        self._keep = keep
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[Failing, tuple[int, float]] = {}  # how often in a row, not again before

    def start(self, effect: Errand) -> None:
        """Runs the errand, unless it runs or waits after a failure."""
        lane = _lane(effect)
        _, not_before = self._failures.get(_failing(effect), (0, 0.0))
        if lane in self._running or time.monotonic() < not_before:
            return
        task = asyncio.create_task(self._run(effect))
        self._running[lane] = task
        task.add_done_callback(lambda _: self._running.pop(lane, None))

    async def stop(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, effect: Errand) -> None:
        try:
            await self._carry_out(effect)
            self._failures.pop(_failing(effect), None)
        except (DomainError, grpc.aio.AioRpcError) as error:
            refusal = error if isinstance(error, DomainError) else translated(error, _peer(effect))
            await self._later(effect, refusal.message)
        except Exception as error:
            log.error("errand_defect", errand=str(effect), exc_info=error)
            await self._later(effect, "an internal error; the patcher's log says more")

    async def _later(self, effect: Errand, cause: str) -> None:
        """Tries again later, and tells whoever looks at the deployment what it waits for."""
        failing = _failing(effect)
        count = self._failures.get(failing, (0, 0.0))[0] + 1
        wait = min(FIRST_RETRY * 2 ** min(count - 1, 10), LONGEST_RETRY)
        self._failures[failing] = (count, time.monotonic() + wait)
        if count == 1:
            log.warning("errand_waits", errand=str(effect), cause=cause)
        message = f"{_ASKS[type(effect)]}: {cause}"
        if effect.deployment.message != message:
            with contextlib.suppress(DomainError):
                await self._keep(effect.deployment, lambda d: Mark(replace(d, message=message), "waits:"))

    async def _carry_out(self, effect: Errand) -> None:
        deployment = effect.deployment
        match effect:
            case fx.Hold():
                refusal = await self._versions.hold(deployment)
                await self._keep(deployment, lambda d: _held(d, refusal))
            case fx.ReleaseHold():
                await self._versions.release(deployment)
                await self._keep(deployment, Finish)
            case fx.GiveRoute():
                if not await self._routes.exists(deployment.model):
                    await self._routes.give(deployment)
                await self._keep(
                    deployment, lambda d: Mark(replace(d, route=RouteWish.SETTLED, message=""), "route settled for")
                )
            case fx.TakeFromRoute():
                await self._routes.let_go(deployment)
                await self._keep(deployment, past_route)
            case fx.CheckRoute(_, settled):
                if not settled and not await self._routes.exists(deployment.model):
                    return
                used = await self._routes.uses(deployment.model, deployment.version)
                if used or deployment.phase is Phase.LEAVING:
                    await self._keep(deployment, lambda d: checked(d, used))


_ASKS = {
    fx.Hold: "waits for the registry to keep the version",
    fx.ReleaseHold: "waits for the registry to take back its hold",
    fx.GiveRoute: "ready, but its route waits for the gateway",
    fx.TakeFromRoute: "waits for the gateway to take it from the route",
    fx.CheckRoute: "waits until it can be seen that no route needs it",
}


def _held(deployment: Deployment, refusal: DomainError | None) -> Transition:
    if refusal is None:
        return Mark(replace(deployment, held=True, message=""), "held")
    message = f"{refusal.message}; delete this deployment"
    return Mark(replace(deployment, reason=refusal.reason.value, message=message), "refused")


def checked(deployment: Deployment, used: bool) -> Transition:
    """What is released is gone, and stays so."""
    if used and deployment.phase in (Phase.LEAVING, Phase.DRAINING):
        return Stay(deployment)
    return past_route(deployment)


def past_route(deployment: Deployment) -> Transition:
    """On from LEAVING; an answer that comes late changes nothing."""
    leaves = deployment.phase is Phase.LEAVING
    return Mark(replace(deployment, phase=Phase.DRAINING, message="") if leaves else deployment, "out of the route")


def _lane(effect: Errand) -> str:
    """Errands of one lane never run together."""
    d = effect.deployment
    if isinstance(effect, fx.GiveRoute | fx.TakeFromRoute):
        return f"route {d.model}"
    return f"{'check' if isinstance(effect, fx.CheckRoute) else 'hold'} {d.model}/{d.version}"


def _failing(effect: Errand) -> Failing:
    return type(effect), effect.deployment.key


def _peer(effect: Errand) -> str:
    return "gateway" if isinstance(effect, fx.GiveRoute | fx.TakeFromRoute) else "registry"
