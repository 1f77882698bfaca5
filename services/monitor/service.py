"""`bmase.monitor.v1.MonitorService`: comparisons are answered here, everything about samples by Insight."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.monitor.v1 import monitor_pb2_grpc

from services.kit.decode import decode
from services.kit.server import Registration
from services.monitor import requests as rq
from services.monitor.comparisons import Comparisons
from services.monitor.encode import comparison_message

Context = Any


class Insight(Protocol):
    """What samples, outcomes and alerts answer: messages in, messages out, bounds checked inside."""

    async def GetCapture(self, request: pb.GetCaptureRequest) -> pb.Capture: ...

    async def UpdateCapture(self, request: pb.UpdateCaptureRequest) -> pb.Capture: ...

    async def ListSamples(self, request: pb.ListSamplesRequest) -> pb.ListSamplesResponse: ...

    async def ReportOutcomes(self, request: pb.ReportOutcomesRequest) -> pb.ReportOutcomesResponse: ...

    async def PutReference(self, request: pb.PutReferenceRequest) -> pb.Reference: ...

    async def GetDrift(self, request: pb.GetDriftRequest) -> pb.DriftReport: ...

    async def CompareVersions(self, request: pb.CompareVersionsRequest) -> pb.VersionComparison: ...

    async def ListAlerts(self, request: pb.ListAlertsRequest) -> pb.ListAlertsResponse: ...

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest) -> pb.Alert: ...

    async def ResolveAlert(self, request: pb.ResolveAlertRequest) -> pb.Alert: ...

    def WatchAlerts(self, request: pb.WatchAlertsRequest) -> AsyncIterator[pb.Alert]: ...

    def ReplaySamples(self, request: pb.ReplaySamplesRequest) -> AsyncIterator[pb.ReplaySamplesResponse]: ...


class MonitorServicer(monitor_pb2_grpc.MonitorServiceServicer):
    """Only the leading monitor serves it."""

    def __init__(self, comparisons: Comparisons, insight: Insight) -> None:
        self._comparisons = comparisons
        self._insight = insight

    # --- comparisons ---

    async def StartComparison(self, request: pb.StartComparisonRequest, context: Context) -> pb.Comparison:
        asked = decode(rq.Start, request).comparison
        return comparison_message(await self._comparisons.start(asked))

    async def GetComparison(self, request: pb.GetComparisonRequest, context: Context) -> pb.Comparison:
        return comparison_message(self._comparisons.get(decode(rq.Named, request).name))

    async def ListComparisons(self, request: pb.ListComparisonsRequest, context: Context) -> pb.ListComparisonsResponse:
        asked = decode(rq.List, request)
        start = rq.page_start(asked.page_token)
        found = [c for c in self._comparisons.all() if asked.model in (None, c.definition.model)]
        found = [c for c in found if start is None or c.order < start]
        page, rest = found[: asked.page_size], found[asked.page_size :]
        return pb.ListComparisonsResponse(
            comparisons=[comparison_message(c) for c in page],
            next_page_token=rq.page_token(*page[-1].order) if rest else "",
        )

    async def WatchComparison(
        self, request: pb.WatchComparisonRequest, context: Context
    ) -> AsyncIterator[pb.Comparison]:
        async for comparison in self._comparisons.watch(decode(rq.Named, request).name):
            yield comparison_message(comparison)

    async def EndComparison(self, request: pb.EndComparisonRequest, context: Context) -> pb.Comparison:
        return comparison_message(await self._comparisons.end(decode(rq.Named, request).name))

    # --- everything that looks into requests and answers ---

    async def ReplaySamples(
        self, request: pb.ReplaySamplesRequest, context: Context
    ) -> AsyncIterator[pb.ReplaySamplesResponse]:
        model, versions = request.model.removeprefix("models/"), (request.stable, request.candidate)
        async for progress in self._insight.ReplaySamples(request):
            if progress.done == progress.total:
                compared = progress.done - progress.stable_failed - progress.candidate_failed
                self._comparisons.replayed(model, versions, compared, progress.disagreed)
            yield progress

    async def GetCapture(self, request: pb.GetCaptureRequest, context: Context) -> pb.Capture:
        return await self._insight.GetCapture(request)

    async def UpdateCapture(self, request: pb.UpdateCaptureRequest, context: Context) -> pb.Capture:
        return await self._insight.UpdateCapture(request)

    async def ListSamples(self, request: pb.ListSamplesRequest, context: Context) -> pb.ListSamplesResponse:
        return await self._insight.ListSamples(request)

    async def ReportOutcomes(self, request: pb.ReportOutcomesRequest, context: Context) -> pb.ReportOutcomesResponse:
        return await self._insight.ReportOutcomes(request)

    async def PutReference(self, request: pb.PutReferenceRequest, context: Context) -> pb.Reference:
        return await self._insight.PutReference(request)

    async def GetDrift(self, request: pb.GetDriftRequest, context: Context) -> pb.DriftReport:
        return await self._insight.GetDrift(request)

    async def CompareVersions(self, request: pb.CompareVersionsRequest, context: Context) -> pb.VersionComparison:
        return await self._insight.CompareVersions(request)

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        return await self._insight.ListAlerts(request)

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest, context: Context) -> pb.Alert:
        return await self._insight.AcknowledgeAlert(request)

    async def ResolveAlert(self, request: pb.ResolveAlertRequest, context: Context) -> pb.Alert:
        return await self._insight.ResolveAlert(request)

    async def WatchAlerts(self, request: pb.WatchAlertsRequest, context: Context) -> AsyncIterator[pb.Alert]:
        async for alert in self._insight.WatchAlerts(request):
            yield alert


def registration(servicer: MonitorServicer) -> Registration:
    """The service as a server takes it."""
    return Registration(
        monitor_pb2_grpc.add_MonitorServiceServicer_to_server, servicer, "bmase.monitor.v1.MonitorService"
    )
