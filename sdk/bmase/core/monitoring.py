"""Calls of `bmase.monitor.v1.MonitorService`."""

from __future__ import annotations

from collections.abc import Iterable

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.monitor.v1 import monitor_pb2 as pb

SERVICE = "/bmase.monitor.v1.MonitorService/"
REPLAY_SECONDS = 600.0
MAX_OUTCOMES = 1_000


def get_capture(model: str) -> Call[pb.Capture]:
    """How much of a model's traffic is sampled."""
    return Call(SERVICE + "GetCapture", pb.GetCaptureRequest(name=names.capture(model)), pb.Capture)


def update_capture(capture: pb.Capture) -> Call[pb.Capture]:
    """Replaces these settings as a whole."""
    return Call(SERVICE + "UpdateCapture", pb.UpdateCaptureRequest(capture=capture), pb.Capture)


def list_samples(model: str, version: int, wrong: bool, page_size: int) -> Listing[pb.Sample]:
    """Sampled requests, latest first."""

    def page(token: str) -> Call[pb.ListSamplesResponse]:
        request = pb.ListSamplesRequest(
            model=names.model(model), version=version, wrong=wrong, page_size=page_size, page_token=token
        )
        return Call(SERVICE + "ListSamples", request, pb.ListSamplesResponse)

    return Listing(page, "samples")


def report_outcomes(model: str, outcomes: Iterable[pb.Outcome]) -> Call[pb.ReportOutcomesResponse]:
    """What turned out to be right; at most 1,000 in one call."""
    request = pb.ReportOutcomesRequest(model=names.model(model), outcomes=outcomes)
    return Call(SERVICE + "ReportOutcomes", request, pb.ReportOutcomesResponse)


def replay(model: str, stable: int, candidate: int, count: int, tolerance: float) -> Call[pb.ReplaySamplesResponse]:
    """Sampled requests to both versions; the answers are compared."""
    request = pb.ReplaySamplesRequest(
        model=names.model(model), stable=stable, candidate=candidate, count=count, tolerance=tolerance
    )
    return Call(SERVICE + "ReplaySamples", request, pb.ReplaySamplesResponse, REPLAY_SECONDS)


def put_reference(model: str, version: int, rows: pb.PutReferenceRequest) -> Call[pb.Reference]:
    """Rows that live traffic is compared with; only sketches of them are kept."""
    request = pb.PutReferenceRequest(name=names.version(model, version), inputs=rows.inputs, outputs=rows.outputs)
    return Call(SERVICE + "PutReference", request, pb.Reference)


def get_drift(model: str, version: int, limit: int) -> Call[pb.DriftReport]:
    """How live traffic differs from the reference."""
    request = pb.GetDriftRequest(name=names.version(model, version), limit=limit)
    return Call(SERVICE + "GetDrift", request, pb.DriftReport)


def compare(model: str, stable: int, candidate: int) -> Call[pb.VersionComparison]:
    """Two versions side by side on live traffic."""
    request = pb.CompareVersionsRequest(model=names.model(model), stable=stable, candidate=candidate)
    return Call(SERVICE + "CompareVersions", request, pb.VersionComparison)


def list_alerts(model: str | None, include_resolved: bool, page_size: int) -> Listing[pb.Alert]:
    """Alerts, latest first."""

    def page(token: str) -> Call[pb.ListAlertsResponse]:
        request = pb.ListAlertsRequest(
            model=names.model(model) if model else "", all=include_resolved, page_size=page_size, page_token=token
        )
        return Call(SERVICE + "ListAlerts", request, pb.ListAlertsResponse)

    return Listing(page, "alerts")


def acknowledge(alert: str, by: str) -> Call[pb.Alert]:
    """Somebody looks into it."""
    return Call(SERVICE + "AcknowledgeAlert", pb.AcknowledgeAlertRequest(name=names.alert(alert), by=by), pb.Alert)


def resolve(alert: str) -> Call[pb.Alert]:
    """It is over."""
    return Call(SERVICE + "ResolveAlert", pb.ResolveAlertRequest(name=names.alert(alert)), pb.Alert)


def watch_alerts(model: str | None) -> Watch[pb.Alert]:
    """Open alerts, and each as it changes."""
    request = pb.WatchAlertsRequest(model=names.model(model) if model else "")
    return Watch(Call(SERVICE + "WatchAlerts", request, pb.Alert, None))


def get_comparison(release: str) -> Call[pb.Comparison]:
    """What a release is judged on, now."""
    return Call(SERVICE + "GetComparison", pb.GetComparisonRequest(name=names.comparison(release)), pb.Comparison)


def list_comparisons(model: str | None, page_size: int) -> Listing[pb.Comparison]:
    """Comparisons, latest first."""

    def page(token: str) -> Call[pb.ListComparisonsResponse]:
        request = pb.ListComparisonsRequest(
            model=names.model(model) if model else "", page_size=page_size, page_token=token
        )
        return Call(SERVICE + "ListComparisons", request, pb.ListComparisonsResponse)

    return Listing(page, "comparisons")
