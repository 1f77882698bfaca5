"""The calls about alerts: decode, call, encode."""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from bmase.monitor.v1 import monitor_pb2 as pb
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.kit.decode import PageSize, PageToken, decode, parse_model
from services.monitor.alerts.desk import Alerts


def _any_model(value: object) -> object:
    return parse_model(value).model if isinstance(value, str) and value else ""


AnyModel = Annotated[str, BeforeValidator(_any_model)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _ListAlerts(_Request):
    model: AnyModel = ""
    all: bool = False
    page_size: PageSize = 0
    page_token: PageToken = ""


class _AcknowledgeAlert(_Request):
    name: str
    by: Annotated[str, Field(max_length=128)] = ""


class _WatchAlerts(_Request):
    model: AnyModel = ""


class AlertCalls:
    """Messages in, messages out."""

    def __init__(self, alerts: Alerts, clock: Callable[[], float] = time.time) -> None:
        self._alerts, self._clock = alerts, clock

    async def ListAlerts(self, request: pb.ListAlertsRequest) -> pb.ListAlertsResponse:
        asked = decode(_ListAlerts, request)
        page = self._alerts.page(asked.model, asked.all, asked.page_size, asked.page_token)
        return pb.ListAlertsResponse(alerts=[a.message_of() for a in page.alerts], next_page_token=page.token)

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest) -> pb.Alert:
        asked = decode(_AcknowledgeAlert, request)
        return self._alerts.acknowledge(asked.name, asked.by, self._clock()).message_of()

    async def ResolveAlert(self, request: pb.ResolveAlertRequest) -> pb.Alert:
        return self._alerts.resolve(request.name, self._clock()).message_of()

    async def WatchAlerts(self, request: pb.WatchAlertsRequest) -> AsyncIterator[pb.Alert]:
        async for alert in self._alerts.watch(decode(_WatchAlerts, request).model):
            yield alert.message_of()
