"""What has to be done so that the world agrees with the release. Pure: it compares, the hands act.

Every effect is idempotent and is found again for as long as the world differs. Effects with the same `key` replace
each other: there is only ever one wish for the route.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.patcher.releases.decide import outcome
from services.patcher.releases.observation import Seen, Stand
from services.patcher.releases.state import UNDEPLOYS, Chore, Hold, Phase, Release

_HOLDS_ROUTE = frozenset({Phase.DEPLOYING, Phase.SHADOW, Phase.STEPPING, Phase.PROMOTED, Phase.ROLLING_BACK})


@dataclass(frozen=True, slots=True)
class SetWeights:
    """The model's weights, in the name of the release and under the leader's fence."""

    model: str
    release: str
    weights: tuple[tuple[int, int], ...]
    fence: int
    key: str = "route"

    def __str__(self) -> str:
        total = sum(weight for _, weight in self.weights)
        shares = " ".join(f"{version}={100 * weight / total:g}%" for version, weight in self.weights)
        return f"weights {self.model} {shares} fence {self.fence}"


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The route without the version that got nothing, and without the release."""

    model: str
    release: str
    fence: int
    key: str = "route"

    def __str__(self) -> str:
        return f"give back the route of {self.model}"


@dataclass(frozen=True, slots=True)
class Deploy:
    """The candidate on as many nodes, without traffic."""

    model: str
    version: int
    replicas: int
    key: str = "deploy"

    def __str__(self) -> str:
        return f"deploy {self.model}/{self.version} on {self.replicas}"


@dataclass(frozen=True, slots=True)
class Undeploy:
    """Out of service, through the deployments' own way: placements, gateways, drain, unload."""

    model: str
    version: int
    chore: Chore
    key: str = "undeploy"

    def __str__(self) -> str:
        return f"undeploy {self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Replay:
    """Sampled requests to both versions."""

    model: str
    stable: int
    candidate: int
    count: int
    key: str = "shadow"

    def __str__(self) -> str:
        return f"replay {self.count} samples to {self.model}/{self.stable} and /{self.candidate}"


@dataclass(frozen=True, slots=True)
class Ask:
    """A webhook whether the step may begin."""

    step: int
    webhook: int

    @property
    def key(self) -> str:
        return f"ask {self.step}/{self.webhook}"

    def __str__(self) -> str:
        return f"ask webhook {self.webhook} about step {self.step}"


@dataclass(frozen=True, slots=True)
class Tell:
    """The webhooks the events after this one."""

    after: int
    key: str = "tell"

    def __str__(self) -> str:
        return f"tell webhooks what follows event {self.after}"


@dataclass(frozen=True, slots=True)
class MoveAlias:
    """`stable` in the registry."""

    model: str
    version: int
    key: str = "alias"

    def __str__(self) -> str:
        return f"alias stable of {self.model} to {self.version}"


@dataclass(frozen=True, slots=True)
class EndComparison:
    """Nothing is left to judge."""

    comparison: str
    key: str = "end comparison"

    def __str__(self) -> str:
        return f"end {self.comparison}"


Effect = SetWeights | GiveBack | Deploy | Undeploy | Replay | Ask | Tell | MoveAlias | EndComparison


def effects(release: Release, seen: Seen) -> list[Effect]:
    """The route first; none depends on the success of another in the same round."""
    found: list[Effect] = []
    for look in (_route, _deploy, _replay, _asks, _alias, _chores, _tell):
        found += look(release, seen)
    return found


def weights_of(release: Release, fence: int) -> SetWeights:
    return SetWeights(release.model, release.id, tuple(sorted(release.weights.items())), fence)


def follows(release: Release) -> bool:
    """Whether the monitor is to judge it."""
    return release.phase is Phase.STEPPING


def _route(release: Release, seen: Seen) -> Iterator[Effect]:
    """Also when only the fence is an earlier leader's: from then on that one's writes are refused."""
    route = seen.route
    if release.phase not in _HOLDS_ROUTE or route is None or route.release not in ("", release.id):
        return
    if not route.release and not _may_take(release, seen):
        return
    listed = route.weights.keys() >= release.weights.keys()
    wanted = {version: weight for version, weight in release.weights.items() if weight}
    held = route.release == release.id and route.fence >= seen.fence
    if not (held and listed and route.effective == wanted):
        yield weights_of(release, seen.fence)


def _may_take(release: Release, seen: Seen) -> bool:
    """A route that somebody moved before it was taken is not moved back."""
    assert seen.route is not None
    if release.phase in (Phase.DEPLOYING, Phase.ROLLING_BACK):
        alone = set(seen.route.effective) == {release.stable}
        return (alone and release.phase is Phase.DEPLOYING) or release.candidate in seen.route.effective
    return True


def _deploy(release: Release, seen: Seen) -> Iterator[Effect]:
    wanted = release.phase is Phase.DEPLOYING and release.deploys and seen.candidate.stand is Stand.ABSENT
    if wanted and seen.route is not None and seen.route.release == release.id:
        yield Deploy(release.model, release.candidate, release.policy.replicas or max(seen.stable.replicas, 1))


def _replay(release: Release, seen: Seen) -> Iterator[Effect]:
    asked = release.policy.shadow_samples
    if release.phase is Phase.SHADOW and asked > 0 and seen.shadow is None and seen.candidate.answers:
        yield Replay(release.model, release.stable, release.candidate, asked)


def _asks(release: Release, seen: Seen) -> Iterator[Effect]:
    found = outcome(release, seen) if release.phase is Phase.STEPPING else None
    if isinstance(found, Hold):
        yield from (Ask(found.step, webhook) for webhook in found.asks)


def _alias(release: Release, seen: Seen) -> Iterator[Effect]:
    if release.alias != release.alias_told:
        yield MoveAlias(release.model, release.alias)


def _chores(release: Release, seen: Seen) -> Iterator[Effect]:
    """The route is given back last: until then nobody gives traffic to what is being undeployed."""
    if Chore.END_COMPARISON in release.chores:
        yield EndComparison(release.comparison)
    if Chore.UNDEPLOY_CANDIDATE in release.chores:
        yield Undeploy(release.model, release.candidate, Chore.UNDEPLOY_CANDIDATE)
    if Chore.UNDEPLOY_STABLE in release.chores:
        yield Undeploy(release.model, release.stable, Chore.UNDEPLOY_STABLE)
    ours = seen.route is not None and seen.route.release == release.id
    if ours and Chore.GIVE_BACK_ROUTE in release.chores and not release.chores & UNDEPLOYS:
        yield GiveBack(release.model, release.id, seen.fence)


def _tell(release: Release, seen: Seen) -> Iterator[Effect]:
    if release.policy.webhooks and release.told < release.number:
        yield Tell(release.told)
