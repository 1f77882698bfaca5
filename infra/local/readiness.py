"""Waiting for the suite: asks every program, watches for crashes, and says what is waited for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.patcher.v1 import deployment_pb2_grpc

from infra.local.errors import SuiteError
from infra.local.logs import tail
from infra.local.probes import Probe, Probes, ask
from infra.local.suite import Suite
from infra.local.supervision import ProcessState, Supervisor
from infra.local.view import Row, View

ROUND_SECONDS = 0.1
CRASHES_TO_GIVE_UP = 6
LAST_LINES = 15
SETTLED = (pb.Deployment.STATE_READY, pb.Deployment.STATE_FAILED, pb.Deployment.STATE_PENDING)


@dataclass
class Progress:
    """What is known while waiting. A program that was ready once stays so here: its later fate is `status`."""

    waits: dict[str, str]  # program -> what is waited for
    ready_after: dict[str, float] = field(default_factory=dict)
    crashes: Counter[str] = field(default_factory=Counter)
    _pids: dict[str, int] = field(default_factory=dict)

    def see(self, states: Mapping[str, ProcessState]) -> None:
        """Counts a crash for every process that was there and is now another one or none."""
        for name, state in states.items():
            before = self._pids.get(name, 0)
            if before and before != state.pid:
                self.crashes[name] += 1
                self.ready_after.pop(name, None)
            self._pids[name] = state.pid

    def culprit(self, states: Mapping[str, ProcessState]) -> str:
        """A program that will not come up by waiting; empty when there is none."""
        for name, state in states.items():
            if state.state == "FATAL" or self.crashes[name] >= CRASHES_TO_GIVE_UP:
                return name
        return ""

    @property
    def pending(self) -> list[str]:
        return [name for name in self.waits if name not in self.ready_after]


async def wait_until_ready(suite: Suite, supervisor: Supervisor, timeout: float, view: View) -> None:
    """Returns when all programs answer, the nodes are known and what was deployed before is served again."""
    begun = time.monotonic()
    async with Probes(suite) as probes:
        asked: dict[str, Probe] = {**probes.all(), "nodes": lambda: nodes_alive(suite)}
        progress = Progress(dict.fromkeys(asked, "starting"))
        with view.live():
            while progress.pending:
                await _round(asked, progress, begun)
                states = await asyncio.to_thread(supervisor.states)
                progress.see(states)
                view.show(_rows(progress, states, time.monotonic() - begun))
                _give_up_if_hopeless(suite, progress, states, time.monotonic() - begun, timeout)
                await asyncio.sleep(ROUND_SECONDS)
    await _wait_for_deployments(suite, timeout - (time.monotonic() - begun), view)


async def _round(asked: Mapping[str, Probe], progress: Progress, begun: float) -> None:
    names = progress.pending
    answers = await asyncio.gather(*(ask(asked[name]) for name in names))
    for name, answer in zip(names, answers, strict=True):
        progress.waits[name] = answer
        if not answer:
            progress.ready_after[name] = time.monotonic() - begun


def _rows(progress: Progress, states: Mapping[str, ProcessState], elapsed: float) -> list[Row]:
    return [
        Row(
            name=name,
            state="ready"
            if name in progress.ready_after
            else states[name].state.lower()
            if name in states
            else "waiting",
            seconds=progress.ready_after.get(name, elapsed),
            detail="" if name in progress.ready_after else wait,
        )
        for name, wait in progress.waits.items()
    ]


def _give_up_if_hopeless(
    suite: Suite, progress: Progress, states: Mapping[str, ProcessState], elapsed: float, timeout: float
) -> None:
    if culprit := progress.culprit(states):
        raise _failure(suite, culprit, f"{culprit} ends as soon as it is started")
    if progress.pending and elapsed > timeout:
        first = progress.pending[0]
        waits = "; ".join(f"{name}: {progress.waits[name]}" for name in progress.pending)
        raise _failure(suite, first, f"not ready after {timeout:.0f} s: {waits}")


def _failure(suite: Suite, culprit: str, message: str) -> SuiteError:
    return SuiteError(
        message,
        details=tuple(tail(suite.place.log(culprit), LAST_LINES)),
        hint=f"`bmase logs {culprit}` has all of it, `bmase doctor` checks this machine, `bmase down` stops the rest",
    )


async def nodes_alive(suite: Suite) -> str:
    """Whether the patcher knows every node as alive."""
    async with grpc.aio.insecure_channel(suite.address("patcher")) as channel:
        stub = deployment_pb2_grpc.DeploymentServiceStub(channel)
        listed = await stub.ListNodes(pb.ListNodesRequest(), timeout=2)
    alive = {node.name.removeprefix("nodes/") for node in listed.nodes if node.alive}
    missing = [node for node in suite.nodes if node not in alive]
    return f"the patcher does not see {', '.join(missing)} yet" if missing else ""


async def _wait_for_deployments(suite: Suite, timeout: float, view: View) -> None:
    """What was deployed before comes back by itself; a version that does not is said, not an error of `up`."""
    deadline = time.monotonic() + max(timeout, 1.0)
    async with grpc.aio.insecure_channel(suite.address("patcher")) as channel:
        stub = deployment_pb2_grpc.DeploymentServiceStub(channel)
        while True:
            listed = (await stub.ListDeployments(pb.ListDeploymentsRequest(page_size=1000), timeout=5)).deployments
            moving = [d for d in listed if d.state not in SETTLED]
            if not moving or time.monotonic() > deadline:
                break
            await asyncio.sleep(ROUND_SECONDS)
    for deployment in listed:
        if deployment.state != pb.Deployment.STATE_READY:
            view.note(
                f"{deployment.name} is not ready: {deployment.message or pb.Deployment.State.Name(deployment.state)}"
            )
