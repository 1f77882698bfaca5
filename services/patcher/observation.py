"""What the patcher sees of the world at one moment: Consul's documents, and who answers.

Absence is treated with care. `settled` is False while Consul does not answer and for a while after its store was
created anew: then an absent key says nothing, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.patcher.documents import Desired, GatewayReport, NodeInfo, Placements, Status, Synced


@dataclass(frozen=True, slots=True)
class NodeView:
    """How a node looks from here: `silent_for` seconds without its session.

    `answering` is what its Triton says, with patience for hiccups; `mute`: it did not answer when it was asked last.
    """

    alive: bool
    usable: bool = True
    message: str = ""
    silent_for: float = 0.0
    answering: bool = True
    mute: bool = False


@dataclass(frozen=True, slots=True)
class PlacementsView:
    """A model's placements as they lie in Consul; gateways report the index they have applied."""

    document: Placements
    index: int


@dataclass(frozen=True)
class Observation:
    """One moment. Times are wall-clock seconds."""

    now: float
    epoch: str = ""
    settled: bool = True
    infos: Mapping[str, NodeInfo] = field(default_factory=dict)
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    statuses: Mapping[tuple[str, str], Status] = field(default_factory=dict)  # (node, model)
    desired: Mapping[tuple[str, str], Desired] = field(default_factory=dict)  # (node, model)
    synced: Mapping[str, Synced] = field(default_factory=dict)
    placements: Mapping[str, PlacementsView] = field(default_factory=dict)
    gateways: Mapping[str, GatewayReport] = field(default_factory=dict)
    registered: frozenset[str] = frozenset()  # gateways with a registration

    def node(self, name: str) -> NodeView:
        return self.nodes.get(name, _UNSEEN)

    def status(self, node: str, model: str, version: int, digest: str) -> Status | None:
        """What the node says of exactly this version; what it says of another one is no answer."""
        status = self.statuses.get((node, model))
        return status if status and status.version == version and status.digest == digest else None

    def behind(self, gateways: Iterable[str], model: str, index: int) -> list[str]:
        """Which of the gateways have not applied the model's placements up to this index of this very store."""
        return sorted(name for name in gateways if not self._has_applied(self.gateways.get(name), model, index))

    def _has_applied(self, report: GatewayReport | None, model: str, index: int) -> bool:
        if report is None or report.epoch != self.epoch or model in report.rejected:
            return False
        return report.placements_index >= index


_UNSEEN = NodeView(alive=False)
