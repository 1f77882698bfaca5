"""Plays scenario files against the releases' decision, with gateways, nodes, monitor and webhooks as plain data.

The grammar is that of the deployments' scenarios: commands, a line of dashes, what was decided. `tick` goes on until
nothing more happens by itself; a line with `!` is an effect, and is printed once while it is wished for.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import Any

from services.kit.errors import DomainError
from services.patcher.releases import commands
from services.patcher.releases import effects as fx
from services.patcher.releases.decide import done, settle, standing
from services.patcher.releases.observation import (
    Answer,
    Deployed,
    Evidence,
    RouteSeen,
    Seen,
    Shadowed,
    Stand,
    Trouble,
    Verdict,
)
from services.patcher.releases.policy import Policy
from services.patcher.releases.state import WHOLE, Chore, Event, Kind, Move, Release, moved

READY = Deployed(Stand.READY, answers=True)
ROUNDS = 12


@dataclass
class ReleaseWorld:
    """One release and what it looks at; every command is a method `do_<command>`."""

    policy: Policy = field(default_factory=Policy)
    release: Release = field(default_factory=lambda: Release("r1", "digits", 2, 1))
    seen: Seen = field(default_factory=lambda: Seen(1000.0, stable=READY, route=RouteSeen({1: WHOLE})))
    behind: tuple[str, ...] = ()
    refusal: Trouble | None = None
    wished: set[str] = field(default_factory=set)

    def run(self, line: str) -> list[str]:
        command, *words = shlex.split(line)
        flags = dict(word.split("=", 1) for word in words if "=" in word)
        try:
            return getattr(self, f"do_{command}")(*[w for w in words if "=" not in w], **flags) or []
        except DomainError as error:
            return [f"refused {error.reason.value}: {error.message}"]

    # --- what people ask for

    def do_policy(self, **flags: str) -> None:
        """steps=5,100 gates=1 (indices) hooks=gate,tell, or a field of a step, of the judge, or of the policy."""
        gates = {int(index) for index in flags.pop("gates", "").split(",") if index}
        percents = [float(percent) for percent in flags.pop("steps", "1,5,25,50,100").split(",")]
        fields = {name: flags.pop(name) for name in ("min_requests", "min_time", "max_time") if name in flags}
        steps = [{"percent": p, "gate": index in gates, **fields} for index, p in enumerate(percents)]
        judge = {name: flags.pop(name) for name in ("margin", "max_disagreement") if name in flags}
        hooks = [word for word in flags.pop("hooks", "").split(",") if word]
        named = [{"url": f"https://{word}.example/x", "gate": word.startswith("gate")} for word in hooks]
        self.policy = Policy.model_validate({**flags, "steps": steps, "judge": judge, "webhooks": named})

    def do_start(self, candidate: str = "2", stable: str = "1") -> list[str]:
        made = Release(
            "r1", "digits", int(candidate), int(stable), self.policy, created=self.seen.now, created_by="ann"
        )
        event = Event(Kind.CREATED, f"from version {stable} to version {candidate}", actor="ann")
        self.release = moved(made, event, self.seen.now).release
        return []

    def do_pause(self) -> list[str]:
        return self._commanded(commands.pause(self.release, self.seen.now, "ann"))

    def do_resume(self) -> list[str]:
        return self._commanded(commands.resume(self.release, self.seen.now, "ann"))

    def do_promote(self, full: str = "no") -> list[str]:
        answers = self.seen.candidate.answers
        move = commands.promote(self.release, self.seen.now, "ann", full=full == "yes", answers=answers)
        return self._commanded(move)

    def do_rollback(self, why: str = "") -> list[str]:
        kept = self.seen.stable.stand not in (Stand.ABSENT, Stand.LEAVING)
        return self._commanded(commands.rollback(self.release, self.seen.now, "ann", why, kept=kept))

    # --- what the world does

    def do_candidate(self, word: str, reason: str = "", message: str = "") -> None:
        self._see(candidate=_deployed(word, reason, message))

    def do_stable(self, word: str, message: str = "") -> None:
        self._see(stable=_deployed(word, "", message))

    def do_gateways(self, behind: str = "") -> None:
        """Those that have not applied the route; from now on, and for every change to come."""
        self.behind = tuple(filter(None, behind.split(",")))
        if self.seen.route is not None:
            self._see(route=replace(self.seen.route, behind=self.behind))

    def do_unheard(self, names: str = "") -> None:
        """Gateways that have not spoken since the store was wiped."""
        self._see(unheard=tuple(filter(None, names.split(","))))

    def do_gateway(self, refuses: str = "", message: str = "no") -> None:
        self.refusal = Trouble(refuses, message) if refuses else None
        if not refuses:
            self._trouble("route", None)
            self.wished = set()  # what failed is tried again

    def do_route(self, word: str = "", weights: str = "", release: str = "") -> None:
        """`gone`, or what somebody else made of it."""
        parts = [part.split(":") for part in weights.split(",") if part]
        known = self.seen.route.weights if self.seen.route else {}
        made = RouteSeen({int(v): int(w) for v, w in parts} or known, release, behind=self.behind)
        self._see(route=None if word == "gone" else made)

    def do_evidence(
        self, verdict: str, requests: str = "0", reason: str = "", message: str = "", age: str = "0"
    ) -> None:
        said = Evidence(self.seen.now - float(age), Verdict(verdict), reason, message or verdict, int(requests), b"e")
        self._see(evidence=said)

    def do_monitor(self, word: str) -> None:
        lost = Trouble("SERVICE_UNAVAILABLE", "the monitor does not answer (unavailable)")
        self._trouble("comparison", lost if word == "gone" else None)
        self.wished = set()

    def do_replayed(self, total: str = "0", failed: str = "0", disagreed: str = "0", skipped: str = "") -> None:
        words = {"NO_SAMPLES": "no samples of digits are kept", "NO_MONITOR": "the monitor does not answer"}
        result = Shadowed(skipped, words.get(skipped, ""), int(total), int(failed), int(disagreed))
        self._see(shadow=result)

    def do_answer(self, word: str, step: str, webhook: str = "0", message: str = "") -> None:
        given = (Answer(word), message or word)
        self._see(answers={**self.seen.answers, (int(step), int(webhook)): given})

    def do_consul(self, word: str) -> None:
        self._see(settled=word == "settled")

    def do_advance(self, seconds: str) -> None:
        self._see(now=self.seen.now + float(seconds))

    def do_leader(self) -> None:
        """The leader was killed; the next one knows what was kept, and nothing else."""
        fence = self.seen.fence + 1
        self._see(fence=fence, evidence=None, shadow=None, answers={}, troubles={})
        self.wished = set()

    # --- what is looked at

    def do_tick(self) -> list[str]:
        """Rounds of the pilot until nothing more happens by itself."""
        lines: list[str] = []
        for _ in range(ROUNDS):
            self.release, moves = settle(self.release, self.seen)
            effects = fx.effects(self.release, self.seen)
            fresh = [effect for effect in effects if str(effect) not in self.wished]
            self.wished = {str(effect) for effect in effects}
            if not any(effect.key == "route" for effect in effects):
                self._trouble("route", None)
            if not moves and not fresh:
                return lines
            lines += [f"  {move}" for move in moves]
            lines += [f"! {effect}{self._act(effect)}" for effect in fresh]
        raise AssertionError("it does not come to rest: " + "; ".join(lines[-6:]))

    def do_show(self) -> list[str]:
        release, hold = self.release, standing(self.release, self.seen)
        route = self.seen.route
        weights = " ".join(f"{v}={100 * w / WHOLE:g}%" for v, w in sorted(route.weights.items())) if route else "gone"
        notes = [word for word, holds in _notes(release).items() if holds]
        left = f" [{', '.join(notes)}]" if notes else ""
        return [
            f"{release.phase.value} step {release.step} {release.percent:g}%{left}; route {weights}"
            f"; {hold.reason}: {hold.message}"
        ]

    # --- the edge, as data

    def _act(self, effect: fx.Effect) -> str:
        said = getattr(self, f"_act_{type(effect).__name__}")(effect)
        return f" ({said})" if said else ""

    def _act_SetWeights(self, effect: fx.SetWeights) -> str:
        route = self.seen.route
        assert route is not None
        if self.refusal is not None:
            self._trouble("route", self.refusal)
            return f"refused: {self.refusal.reason}"
        assert effect.fence >= route.fence, "an earlier leader writes"
        assert route.release in ("", effect.release), "another release holds the route"
        assert sum(weight for _, weight in effect.weights) == WHOLE
        weights = {**dict.fromkeys(route.weights, 0), **dict(effect.weights)}
        self._see(route=RouteSeen(weights, effect.release, effect.fence, self.behind))
        return ""

    def _act_GiveBack(self, effect: fx.GiveBack) -> str:
        assert self.seen.route is not None
        self._see(route=RouteSeen(self.seen.route.effective, "", effect.fence, self.behind))
        return self._keep(done(self.release, Chore.GIVE_BACK_ROUTE))

    def _act_Deploy(self, effect: fx.Deploy) -> str:
        self.do_candidate("coming")
        return ""

    def _act_Undeploy(self, effect: fx.Undeploy) -> str:
        assert self.seen.route is None or not self.seen.route.weights.get(effect.version), "it still has traffic"
        leaving = Deployed(Stand.LEAVING, message="being taken out")
        self._see(**{"candidate" if effect.version == self.release.candidate else "stable": leaving})
        return self._keep(done(self.release, effect.chore))

    def _act_Replay(self, effect: fx.Replay) -> str:
        return ""

    def _act_Ask(self, effect: fx.Ask) -> str:
        return ""

    def _act_Tell(self, effect: fx.Tell) -> str:
        return self._keep(Move(replace(self.release, told=self.release.number)))

    def _act_MoveAlias(self, effect: fx.MoveAlias) -> str:
        return self._keep(Move(replace(self.release, alias_told=effect.version)))

    def _act_EndComparison(self, effect: fx.EndComparison) -> str:
        if "comparison" in self.seen.troubles:
            return "the monitor is away"
        return self._keep(done(self.release, Chore.END_COMPARISON))

    def _keep(self, move: Move) -> str:
        self.release = move.release
        return ""

    def _commanded(self, move: Move | None) -> list[str]:
        if move is None:
            return ["nothing to do"]
        self.release = move.release
        return [f"  {move}"]

    def _trouble(self, key: str, trouble: Trouble | None) -> None:
        others = {k: t for k, t in self.seen.troubles.items() if k != key}
        self._see(troubles={**others, key: trouble} if trouble else others)

    def _see(self, **changes: Any) -> None:
        self.seen = replace(self.seen, **changes)


def _notes(release: Release) -> dict[str, bool]:
    return {
        "paused": release.paused,
        "at a gate": release.waits_at_gate,
        "sheltered": release.sheltered,
        "to be rolled back": release.abort is not None and not release.final,
        **{chore.value: True for chore in sorted(release.chores)},
    }


def _deployed(word: str, reason: str, message: str) -> Deployed:
    """`lost`: deployed, and no node answers."""
    if word == "lost":
        return Deployed(Stand.COMING, message=message or "node green: the agent is silent")
    return Deployed(Stand(word), answers=word == "ready", reason=reason, message=message)
