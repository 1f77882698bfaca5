"""Everything that is learnt from sampled requests: samples, outcomes, drift, alerts; and the calls about them.

    insight = await insight_build.build(stack, settings, ...)
    insight.pair(pair)                 from intake, in the event loop; never waits
    await insight.run()                while this monitor leads, for ever
    await insight.UpdateCapture(...)   one method a call of the contract, messages in, messages out

Nothing here is on the way of a prediction, and nothing here is needed to judge: when the store of samples is away, only
calls that read samples fail.
"""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import structlog
from bmase.monitor.v1 import evidence_pb2
from bmase.monitor.v1 import monitor_pb2 as pb

from services.kit.decode import decode
from services.monitor import insight_requests as rq
from services.monitor.alerts import Alerts, Webhook
from services.monitor.alerts.calls import AlertCalls
from services.monitor.captures import Captures
from services.monitor.drift.engine import DriftEngine
from services.monitor.intake.pairs import Pair
from services.monitor.oip import Tensors
from services.monitor.outcomes import Outcomes
from services.monitor.replay import Asked, Replay
from services.monitor.samples import pages
from services.monitor.samples.looking import Looked, Looking
from services.monitor.samples.model import Query, Sample, message
from services.monitor.samples.store import SampleStore
from services.monitor.samples.writer import Writer
from services.monitor.sketches import Role

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
KEEP_SECONDS = 30.0


# One version's weighted traffic; outcomes are filled in here.
Traffic = Callable[[str, int], Awaitable[evidence_pb2.Arm]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What Insight is made of."""

    captures: Captures
    store: SampleStore
    writer: Writer
    outcomes: Outcomes
    replay: Replay
    drift: DriftEngine
    alerts: Alerts
    webhook: Webhook | None
    traffic: Traffic


class Insight:
    """One a process. All of it runs in the event loop but decoding and sketching."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._alert_calls = AlertCalls(parts.alerts)
        self.looking = Looking(parts.captures.of, self._sampled, self._tensors)

    def pair(self, pair: Pair) -> None:
        """A sampled request and its answer; dropped and counted when there is no room."""
        self.looking.pair(pair)

    def lost(self, model: str) -> None:
        """A sampled request of which there is no pair."""
        self.looking.lost(model)

    async def restore(self) -> None:
        """What an earlier life wrote; once, before anything else."""
        self._parts.alerts.load()
        await asyncio.to_thread(self._parts.drift.restore)

    async def keep(self) -> None:
        """Writes what was learnt of live traffic; a full disk is borne and tried again."""
        try:
            await asyncio.to_thread(self._parts.drift.snapshot)
        except OSError as error:
            log.error("insight.not_kept", error=error.strerror)

    async def run(self) -> None:
        """Looks, writes, publishes and compares until it is cancelled."""
        parts = self._parts
        work = [self.looking.run(), parts.writer.run(), parts.captures.run(), self._watch_drift(), self._keep_drift()]
        if parts.webhook is not None:
            work.append(parts.webhook.run())
        async with asyncio.TaskGroup() as tasks:
            for one in work:
                tasks.create_task(one)

    async def _watch_drift(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.time()
            try:
                self._parts.alerts.apply(await asyncio.to_thread(self._parts.drift.tick, now), now)
            except Exception:
                # Releases are judged in the same process: a defect in what only reports may not end that.
                log.exception("insight.drift_not_looked_at")

    async def _keep_drift(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self.keep()

    def _tensors(self, looked: Looked) -> None:
        """In the thread that decodes."""
        drift, sample, hidden = self._parts.drift, looked.sample, looked.hidden
        drift.add(sample.model, sample.version, arrays(looked.inputs), Role.INPUT, hidden)
        if looked.answered:
            drift.add(sample.model, sample.version, arrays(looked.outputs), Role.OUTPUT, hidden)

    def _sampled(self, sample: Sample) -> None:
        self._parts.writer.put(self._parts.outcomes.saw(sample))

    # --- what is captured ---

    async def GetCapture(self, request: pb.GetCaptureRequest) -> pb.Capture:
        return self._capture(decode(rq.GetCapture, request).name)

    async def UpdateCapture(self, request: pb.UpdateCaptureRequest) -> pb.Capture:
        change = decode(rq.UpdateCapture, request).capture
        await self._parts.captures.update(change.name, change.settings())
        self._parts.writer.sweep()
        return self._capture(change.name)

    def _capture(self, model: str) -> pb.Capture:
        parts, looking = self._parts, self.looking
        made = parts.captures.message(model)
        made.sampled = looking.sampled[model]
        made.dropped = looking.dropped[model] + parts.writer.dropped[model]
        made.stored_bytes = parts.writer.sizes.get(model, 0)
        return made

    # --- samples and outcomes ---

    async def ListSamples(self, request: pb.ListSamplesRequest) -> pb.ListSamplesResponse:
        asked = decode(rq.ListSamples, request)
        list_of = f"{asked.model.model}/{asked.version}/{asked.wrong}"
        before = pages.last_of(asked.page_token, list_of)
        query = Query(asked.model.model, asked.version, asked.wrong, before=before, limit=asked.page_size)
        found = await self._parts.store.page(query)
        shown = pages.fitting([message(sample) for sample in found])
        more = len(found) == asked.page_size or len(shown) < len(found)
        last = found[len(shown) - 1].id if more else ""
        return pb.ListSamplesResponse(samples=shown, next_page_token=pages.token(list_of, last) if last else "")

    async def ReportOutcomes(self, request: pb.ReportOutcomesRequest) -> pb.ReportOutcomesResponse:
        asked = decode(rq.ReportOutcomes, request)
        given = [outcome.given(time.time()) for outcome in asked.outcomes]
        answered = await self._parts.outcomes.report(asked.model.model, given)
        return pb.ReportOutcomesResponse(**answered._asdict())

    async def ReplaySamples(self, request: pb.ReplaySamplesRequest) -> AsyncIterator[pb.ReplaySamplesResponse]:
        asked = decode(rq.ReplaySamples, request)
        model = asked.model.model
        label = self._parts.captures.of(model).label_output
        wanted = Asked(model, asked.stable, asked.candidate, asked.count, asked.tolerance, label)
        async for progress in self._parts.replay.run(wanted):
            yield progress

    async def CompareVersions(self, request: pb.CompareVersionsRequest) -> pb.VersionComparison:
        asked = decode(rq.CompareVersions, request)
        model = asked.model.model
        return pb.VersionComparison(
            model=str(asked.model),
            stable=await self._arm(model, asked.stable),
            candidate=await self._arm(model, asked.candidate),
            outputs=await asyncio.to_thread(self._parts.drift.compare, model, asked.stable, asked.candidate),
        )

    async def _arm(self, model: str, version: int) -> evidence_pb2.Arm:
        made = evidence_pb2.Arm()
        made.CopyFrom(await self._parts.traffic(model, version))
        lately = self._parts.outcomes.accuracy.of(model, version)
        made.version, made.outcomes, made.wrong = version, lately.outcomes, lately.wrong
        return made

    # --- drift and alerts ---

    async def PutReference(self, request: pb.PutReferenceRequest) -> pb.Reference:
        return await asyncio.to_thread(self._parts.drift.put_reference, request, time.time())

    async def GetDrift(self, request: pb.GetDriftRequest) -> pb.DriftReport:
        asked = decode(rq.GetDrift, request)
        return await asyncio.to_thread(self._parts.drift.report, *asked.name, asked.limit)

    async def ListAlerts(self, request: pb.ListAlertsRequest) -> pb.ListAlertsResponse:
        return await self._alert_calls.ListAlerts(request)

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest) -> pb.Alert:
        return await self._alert_calls.AcknowledgeAlert(request)

    async def ResolveAlert(self, request: pb.ResolveAlertRequest) -> pb.Alert:
        return await self._alert_calls.ResolveAlert(request)

    def WatchAlerts(self, request: pb.WatchAlertsRequest) -> AsyncIterator[pb.Alert]:
        return self._alert_calls.WatchAlerts(request)


def arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    """Values by name, whose first dimension counts rows."""
    return {name: np.atleast_1d(tensor.array) for name, tensor in tensors.items()}
