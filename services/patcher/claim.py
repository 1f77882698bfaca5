"""Whether this database is the one that Consul's documents were written from. Another one must change nothing.

A leader makes the world agree with its database. With an empty or an older one (lost, restored, or simply the wrong
file) that would take out of service whatever the database does not know. So nobody leads with such a database until an
operator confirms it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping

import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul, Listing
from services.kit.consul.documents import NODES, PLACEMENTS, read
from services.kit.errors import DomainError
from services.patcher.documents import Desired, Placements
from services.patcher.records import Records
from services.patcher.state import State

log = structlog.get_logger(__name__)

LOOK_EVERY = 5.0
LOOK_AGAIN = 1.0  # after an error, while the lease runs
LOG_EVERY = 60.0
FOREIGN = "this patcher's database is not the one that the deployments in Consul were written from"
HINT = (
    "Give the patcher its own database or the newest backup of it. To go on with this one, start it once with "
    "BMASE_PATCHER_TAKE_OVER=true: whatever it does not know is then taken out of service."
)


class Claim:
    """An instance's claim to lead with its database. `foreign` says what speaks against it; empty: nothing known."""

    def __init__(self, consul: Consul, records: Records, *, take_over: bool = False) -> None:
        self._consul = consul
        self._records = records
        self._take_over = take_over
        self.foreign = ""

    async def free(self) -> None:
        """Returns when nothing is known against this database. Contending before would keep the right one out."""
        logged = -math.inf
        while await self._stands_against():
            if time.monotonic() - logged >= LOG_EVERY:
                logged = time.monotonic()
                log.error("foreign_database", message=self.foreign, hint=HINT)
            await asyncio.sleep(LOOK_EVERY)

    async def made(self, fence: int) -> bool:
        """Before anything is written under the fence: False if the database is another one, else it bears the fence.

        It must bear it before any document does, as a document's fence above the database's is what gives one away.
        """
        while True:
            try:
                await self._look()
                if not self.foreign:
                    await self._records.change(lambda state: state, fence)
                return not self.foreign
            except DomainError as error:
                if error.reason is Reason.NOT_LEADER:
                    return False
                log.warning("claim_not_made", reason=error.reason.value, message=error.message)
                await asyncio.sleep(LOOK_AGAIN)

    def refuse(self) -> None:
        """Raises STORE_UNAVAILABLE with such a database: what it says is not so, and what it is told nobody does."""
        if self.foreign:
            raise DomainError(Reason.STORE_UNAVAILABLE, self.foreign, hint=HINT)

    async def _stands_against(self) -> bool:
        try:
            await self._look()
        except DomainError as error:  # what is not known now is asked again under the lease
            log.warning("claim_not_looked_at", reason=error.reason.value, message=error.message)
        return bool(self.foreign)

    async def _look(self) -> None:
        # Consul first: what lies there was in its database before, so that one is never found to be behind.
        placements, nodes = await self._consul.kv.list(PLACEMENTS), await self._consul.kv.list(NODES)
        fence, state = await self._records.fence(), await self._records.read()
        words = contradiction(state, fence, _placements(placements), _desired(nodes))
        if words and self._take_over:
            log.warning("taken_over", message=words)
        self.foreign = "" if self._take_over else words


def contradiction(state: State, fence: int, placements: Mapping[str, Placements], desired: Iterable[Desired]) -> str:
    """What lies in Consul that cannot have been written from this state; empty when there is nothing of the kind.

    Only what is of use to somebody counts: placements with versions, and desired models.
    """
    used = {model: lying for model, lying in placements.items() if lying.versions}
    fences = [*(lying.fence for lying in used.values()), *(lying.fence for lying in desired)]
    newest = max(fences, default=0)
    if newest > fence:
        return f"{FOREIGN}: a leader wrote there under the fence {newest}, and this one knows of none after {fence}"
    for model, lying in sorted(used.items()):
        published = state.published.get(model)
        known = published.revision if published else 0
        if lying.revision > known:
            return f"{FOREIGN}: there are placements of {model} of revision {lying.revision}, and here of {known}"
    return ""


def _placements(listing: Listing) -> dict[str, Placements]:
    found = {key.removeprefix(PLACEMENTS): read(Placements, entry.value) for key, entry in listing.entries.items()}
    return {model: document for model, document in found.items() if document is not None}


def _desired(listing: Listing) -> list[Desired]:
    lying = [entry for key, entry in listing.entries.items() if key.split("/")[3:4] == ["desired"]]
    return [document for entry in lying if (document := read(Desired, entry.value)) is not None]
