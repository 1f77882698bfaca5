"""The alerts of a running monitor: kept in a file, told to watchers and to a webhook."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.files import write_atomically
from services.monitor.alerts.book import AlertBook, Observed
from services.monitor.alerts.model import Alert, State
from services.monitor.alerts.webhook import Webhook

log = structlog.get_logger(__name__)


class Page(NamedTuple):
    """`token` is where the next page begins; empty on the last one."""

    alerts: list[Alert]
    token: str


class _Watcher:
    """The latest of each alert that its reader has not seen: as long as the list of alerts, however slow it reads."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.pending: dict[int, Alert] = {}
        self.news = asyncio.Event()

    def offer(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if self.model in {"", alert.model}:
                self.pending[alert.number] = alert
                self.news.set()


class Alerts:
    """Written before it is told; told all the same when the disk is full. On the event loop."""

    def __init__(self, folder: Path, webhook: Webhook | None = None) -> None:
        self._path = folder / "alerts.json"
        self._webhook = webhook
        self._book = AlertBook()
        self._watchers: set[_Watcher] = set()

    def load(self) -> None:
        """Reads what was written; a file that cannot be read is kept aside and counts as none."""
        if not self._path.exists():
            return
        try:
            self._book = AlertBook.from_json(json.loads(self._path.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_suffix(".unreadable")
            self._path.replace(aside)
            log.error("monitor.alerts_unreadable", kept_as=aside.name, error=str(error))

    def apply(self, observed: Observed, now: float) -> list[Alert]:
        """Enters what was found in the scopes that were looked at; the alerts that changed."""
        return self._publish(self._book.apply(observed, now))

    def page(self, model: str = "", everything: bool = False, size: int = 50, token: str = "") -> Page:
        """Alerts of a model, or of all, latest first; `everything`: resolved ones, too. Raises PAGE_TOKEN_INVALID."""
        before = _number(token) if token else None
        if token and before is None:
            raise DomainError(Reason.PAGE_TOKEN_INVALID, "the page token is not one of this list", field="page_token")
        found = [
            alert
            for alert in reversed(self._book.alerts.values())
            if (everything or not alert.resolved)
            and model in {"", alert.model}
            and (before is None or alert.number < before)
        ]
        return Page(found[:size], str(found[size - 1].number) if len(found) > size else "")

    def get(self, name: str) -> Alert:
        """Raises ALERT_NOT_FOUND."""
        number = _number(name.removeprefix("alerts/")) if name.startswith("alerts/") else None
        if number is None or number not in self._book.alerts:
            raise DomainError(
                Reason.ALERT_NOT_FOUND, f"there is no {name!r:.100}", hint="ListAlerts tells the names of all"
            )
        return self._book.alerts[number]

    def acknowledge(self, name: str, by: str, now: float) -> Alert:
        """Somebody looks after it. Raises ALERT_NOT_FOUND."""
        return self._changed(self.get(name), self._book.acknowledge(self.get(name).number, by, now), "acknowledged")

    def resolve(self, name: str, now: float) -> Alert:
        """Over; it comes back only after it was clean. Raises ALERT_NOT_FOUND."""
        return self._changed(self.get(name), self._book.resolve(self.get(name).number, now), "resolved")

    def open_count(self) -> int:
        """How many are not resolved."""
        return len(self.unresolved())

    def unresolved(self) -> list[Alert]:
        """Open and acknowledged ones, oldest first."""
        return [alert for alert in self._book.alerts.values() if not alert.resolved]

    async def watch(self, model: str = "") -> AsyncGenerator[Alert]:
        """Those that are not resolved, and from then on each as it changes; without end."""
        watcher = _Watcher(model)
        watcher.offer([alert for alert in self._book.alerts.values() if not alert.resolved])
        self._watchers.add(watcher)
        try:
            while True:
                await watcher.news.wait()
                watcher.news.clear()
                while watcher.pending:
                    yield watcher.pending.pop(next(iter(watcher.pending)))
        finally:
            self._watchers.discard(watcher)

    def _changed(self, before: Alert, after: Alert, word: str) -> Alert:
        if before != after:
            self._publish([after], word)
        return after

    def _publish(self, changed: list[Alert], word: str = "") -> list[Alert]:
        if not changed:
            return changed
        self._write()
        for watcher in self._watchers:
            watcher.offer(changed)
        for alert in changed if self._webhook else ():
            self._webhook.offer({"event": word or _word(alert), "alert": alert.to_json()})  # type: ignore[union-attr]
        return changed

    def _write(self) -> None:
        try:
            write_atomically(self._path, json.dumps(self._book.to_json()).encode())
        except OSError as error:
            log.error("monitor.alerts_not_written", error=error.strerror)


def _word(alert: Alert) -> str:
    """What has happened to an alert that nobody touched."""
    if alert.resolved:
        return "resolved"
    return "opened" if alert.state is State.OPEN and alert.update_time == alert.open_time else "changed"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
