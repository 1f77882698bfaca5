"""Writes what nodes and gateways must do into Consul, under the leader's fence."""

from __future__ import annotations

import time
from typing import Any

import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS, PLACEMENTS, Document
from services.kit.errors import DomainError
from services.kit.leader import fenced_delete, fenced_put
from services.patcher import effects as fx
from services.patcher.documents import SYNCED, Desired, Synced, desired_prefix
from services.patcher.records import Records
from services.patcher.state import Deployment

log = structlog.get_logger(__name__)

# The watch shows a write within milliseconds; until then it must not be done twice, as every write moves the index that
# gateways have to reach.
QUIET_SECONDS = 1.0

Written = fx.PutDesired | fx.DeleteDesired | fx.PutSynced | fx.PutPlacements | fx.DeletePlacements | fx.DeleteReport


class Publisher:
    """One leader's pen; raises NOT_LEADER when a later one has written."""

    def __init__(self, consul: Consul, records: Records, fence: int) -> None:
        self._kv = consul.kv
        self._records = records
        self._fence = fence
        self._done: dict[str, tuple[Written, float]] = {}

    async def publish(self, effect: Written) -> None:
        """Carries the effect out, unless the same was done a moment ago."""
        key, now = _key(effect), time.monotonic()
        self._done = {known: done for known, done in self._done.items() if now - done[1] < QUIET_SECONDS}
        done = self._done.get(key)
        if done is not None and done[0] == effect:
            return
        document = await self._document(effect)
        log.info("publish", effect=str(effect))
        if isinstance(effect, fx.DeleteReport):
            await self._kv.delete(key)
        elif document is None:
            await fenced_delete(self._kv, key, self._fence)
        else:
            await self._put(key, document)
        self._done[key] = (effect, time.monotonic())

    async def _put(self, key: str, document: Document) -> None:
        try:
            await fenced_put(self._kv, key, document.model_dump(mode="json"), self._fence)
        except DomainError as error:
            if error.reason is not Reason.INTERNAL:
                raise
            # What lies there is no document and bears no fence: somebody's hand. It is replaced, never deleted first.
            lying = await self._kv.get(key)
            await self._kv.cas(key, self._fenced(document), lying.modify_index if lying else 0)

    def _fenced(self, document: Document) -> dict[str, Any]:
        return {**document.model_dump(mode="json"), "fence": self._fence}

    async def _document(self, effect: Written) -> Document | None:
        """What is to lie under the key; None: the key is to go."""
        match effect:
            case fx.PutDesired(_, deployment):
                return await self._desired(deployment)
            case fx.PutSynced(_, epoch):
                return Synced(epoch=epoch)
            case fx.PutPlacements(_, document):
                return document
            case _:
                return None

    async def _desired(self, d: Deployment) -> Desired:
        files = await self._records.files(d.key)
        if not files:
            raise DomainError(Reason.DEPLOYMENT_NOT_FOUND, f"{d.name} is gone")
        return Desired(model=d.model, version=d.version, digest=d.digest, generation=d.generation, files=files)


def _key(effect: Written) -> str:
    match effect:
        case fx.PutDesired(node, deployment):
            return desired_prefix(node) + deployment.model
        case fx.DeleteDesired(node, model):
            return desired_prefix(node) + model
        case fx.PutSynced(node, _):
            return desired_prefix(node) + SYNCED
        case fx.PutPlacements(model, _) | fx.DeletePlacements(model):
            return PLACEMENTS + model
        case fx.DeleteReport(gateway):
            return GATEWAYS + gateway
