"""Plays scenario files against the patcher's decision, with Consul, nodes and gateways as plain data.

A file holds blocks: commands, a line of dashes, what was decided. `BMASE_REWRITE=1` writes the decisions anew, to be
reviewed as a diff.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bmase.patcher.v1 import deployment_pb2 as pb

from services.patcher import effects as fx
from services.patcher.decide import Rules, settle
from services.patcher.documents import Desired, GatewayReport, NodeInfo, Status, Step, Synced
from services.patcher.effects import effects
from services.patcher.errands import checked, past_route
from services.patcher.observation import NodeView, Observation, PlacementsView
from services.patcher.report import deployment_message
from services.patcher.state import Deployment, Finish, Key, Mark, NodeRecord, Phase, RouteWish, State

DASHES = "----"
GIB = 2**30


@dataclass
class World:
    """State, Consul and machines of one scenario; every command is a method `do_<command>`."""

    state: State = field(default_factory=State)
    seen: Observation = field(default_factory=lambda: Observation(now=1000.0, epoch="e1"))
    rules: Rules = field(default_factory=Rules)
    index: int = 10
    holding: bool = True  # whether the registry answers
    routes: bool = True  # whether the gateway's API answers
    weighted: frozenset[Key] = frozenset()  # what routes send requests to, by somebody's hand

    def run(self, line: str) -> list[str]:
        command, *words = shlex.split(line)
        flags = dict(word.split("=", 1) for word in words if "=" in word)
        return getattr(self, f"do_{command.replace('-', '_')}")(*[w for w in words if "=" not in w], **flags) or []

    # --- what the world does

    def do_node(self, name: str, pool: str = "default", gib: str = "8", backends: str = "") -> None:
        info = NodeInfo(
            name=name,
            pool=pool,
            grpc=f"{name}:1",
            capacity_bytes=int(float(gib) * GIB),
            backends=tuple(filter(None, backends.split(","))),
        )
        self._see(infos={**self.seen.infos, name: info}, nodes={**self.seen.nodes, name: NodeView(alive=True)})

    def do_unusable(self, name: str) -> None:
        self._see(nodes={**self.seen.nodes, name: NodeView(alive=True, usable=False)})

    def do_silent(self, name: str, seconds: str = "0", answering: str = "no") -> None:
        view = NodeView(alive=False, silent_for=float(seconds), answering=answering == "yes")
        statuses = {key: s for key, s in self.seen.statuses.items() if key[0] != name}
        self._see(nodes={**self.seen.nodes, name: view}, statuses=statuses)

    def do_alive(self, name: str) -> None:
        self._see(nodes={**self.seen.nodes, name: NodeView(alive=True)})

    def do_status(self, node: str, model: str, state: str, version: str = "") -> None:
        wanted = self.seen.desired[node, model]
        number = int(version or wanted.version)
        said = Status(model=model, version=number, digest=f"d{number}", state=Step(state))
        self._see(statuses={**self.seen.statuses, (node, model): said})

    def do_unloaded(self, node: str, model: str) -> None:
        self._see(statuses={key: s for key, s in self.seen.statuses.items() if key != (node, model)})

    def do_gateway(self, name: str, registered: str = "yes") -> None:
        names = self.seen.registered - {name} if registered == "no" else self.seen.registered | {name}
        self._see(registered=frozenset(names))

    def do_applied(self, name: str, lag: str = "0", epoch: str = "", rejected: str = "") -> None:
        refused = {rejected: "Envoy's reason"} if rejected else {}
        index = self.index - int(lag)
        report = GatewayReport(epoch=epoch or self.seen.epoch, placements_index=index, rejected=refused)
        self._see(gateways={**self.seen.gateways, name: report})

    def do_wipe(self, epoch: str) -> None:
        """Consul comes back empty; nothing has registered again yet."""
        self.index = 5
        self.seen = Observation(now=self.seen.now, epoch=epoch, settled=False)

    def do_settled(self, word: str) -> None:
        self._see(settled=word == "yes")

    def do_advance(self, seconds: str) -> None:
        self._see(now=self.seen.now + float(seconds))

    def do_registry(self, word: str) -> None:
        self.holding = word == "up"

    def do_routes(self, word: str) -> None:
        self.routes = word == "up"

    def do_weight(self, name: str, percent: str) -> None:
        """A person gives traffic to the version, or takes it away."""
        key = self._deployment(name).key
        self.weighted = self.weighted | {key} if int(percent) else self.weighted - {key}

    # --- what people ask for

    def do_deploy(self, name: str, replicas: str = "1", pool: str = "", gib: str = "1", backend: str = "") -> None:
        model, version = name.split("/")
        made = Deployment(
            model,
            int(version),
            f"d{version}",
            int(replicas),
            pool,
            backend,
            int(float(gib) * GIB),
            created=self.seen.now + len(self.state.deployments) / 1000,
        )
        self._write(made)

    def do_scale(self, name: str, replicas: str) -> None:
        before = self._deployment(name)
        self._write(replace(before, replicas=int(replicas), generation=before.generation + 1))

    def do_undeploy(self, name: str, force: str = "no") -> None:
        leaving = replace(self._deployment(name), phase=Phase.LEAVING, force=force == "yes", reason="", message="")
        self._write(leaving)

    def do_cordon(self, name: str) -> None:
        record = NodeRecord(self.state.nodes[name].info, cordoned=True)
        self.state = replace(self.state, nodes={**self.state.nodes, name: record})

    # --- what is looked at

    def do_tick(self) -> list[str]:
        """One round of the loop: settle, then act on every effect."""
        self.state, taken = settle(self.state, self.seen, self.rules)
        lines = [f"  {transition}" for transition in taken]
        for effect in effects(self.state, self.seen, self.rules):
            lines.append(f"! {effect}{'' if self._act(effect) else ' (failed)'}")
        return lines

    def do_show(self) -> list[str]:
        lines = []
        for deployment in self.state.deployments.values():
            told = deployment_message(deployment, self.state, self.seen)
            state = pb.Deployment.State.Name(told.state)
            where = " ".join(f"{p.node}:{_short(p)}" for p in told.placements)
            why = f"; {told.reason}: {told.message}" if told.reason else ""
            lines.append(f"{deployment.model}/{deployment.version} {state[6:]} {told.ready_replicas} [{where}]{why}")
        return lines

    # --- the edge, as data

    def _act(self, effect: fx.Effect) -> bool:
        return bool(getattr(self, f"_act_{type(effect).__name__}")(effect))

    def _act_PutDesired(self, effect: fx.PutDesired) -> bool:
        d = effect.deployment
        document = Desired(model=d.model, version=d.version, digest=d.digest, generation=d.generation)
        self._see(desired={**self.seen.desired, (effect.node, d.model): document})
        return True

    def _act_DeleteDesired(self, effect: fx.DeleteDesired) -> bool:
        gone = (effect.node, effect.model)
        self._see(desired={key: d for key, d in self.seen.desired.items() if key != gone})
        return True

    def _act_PutSynced(self, effect: fx.PutSynced) -> bool:
        self._see(synced={**self.seen.synced, effect.node: Synced(epoch=effect.epoch)})
        return True

    def _act_PutPlacements(self, effect: fx.PutPlacements) -> bool:
        self.index += 1
        view = PlacementsView(effect.document, self.index)
        self._see(placements={**self.seen.placements, effect.model: view})
        return True

    def _act_DeletePlacements(self, effect: fx.DeletePlacements) -> bool:
        self._see(placements={m: p for m, p in self.seen.placements.items() if m != effect.model})
        return True

    def _act_DeleteReport(self, effect: fx.DeleteReport) -> bool:
        self._see(gateways={name: g for name, g in self.seen.gateways.items() if name != effect.gateway})
        return True

    def _act_Hold(self, effect: fx.Hold) -> bool:
        if self.holding:
            self.state = Mark(replace(effect.deployment, held=True), "held").apply(self.state)
        return self.holding

    def _act_ReleaseHold(self, effect: fx.ReleaseHold) -> bool:
        if self.holding:
            self.state = Finish(effect.deployment).apply(self.state)
        return self.holding

    def _act_GiveRoute(self, effect: fx.GiveRoute) -> bool:
        if self.routes:
            self.state = Mark(replace(effect.deployment, route=RouteWish.SETTLED), "routed").apply(self.state)
        return self.routes

    def _act_TakeFromRoute(self, effect: fx.TakeFromRoute) -> bool:
        if self.routes:
            self.state = past_route(effect.deployment).apply(self.state)
        return self.routes

    def _act_CheckRoute(self, effect: fx.CheckRoute) -> bool:
        used = effect.deployment.key in self.weighted
        if used or effect.deployment.phase is Phase.LEAVING:
            self.state = checked(effect.deployment, used).apply(self.state)
        return True

    def _see(self, **changes: Any) -> None:
        self.seen = replace(self.seen, **changes)

    def _write(self, deployment: Deployment) -> None:
        self.state = Mark(deployment, "asked").apply(self.state)

    def _deployment(self, name: str) -> Deployment:
        model, version = name.split("/")
        return self.state.deployments[model, int(version)]


def _short(placement: pb.Placement) -> str:
    return pb.Placement.State.Name(placement.state)[6:].lower()


class Played(Protocol):
    """A world that scenario files command."""

    def run(self, line: str) -> list[str]: ...


def play(text: str, make: Callable[[], Played] = World) -> str:
    """The scenario with its decisions written anew."""
    world, written = make(), []
    for block in text.strip().split("\n\n"):
        commands = block.split(f"\n{DASHES}")[0].split("\n")
        lines = [line for c in commands if c and not c.startswith("#") for line in world.run(c)]
        written.append("\n".join([*commands, *([DASHES, *lines] if any(_looks(c) for c in commands) else [])]))
    return "\n\n".join(written) + "\n"


def _looks(command: str) -> bool:
    return command.split(" ", maxsplit=1)[0] in ("tick", "show")
