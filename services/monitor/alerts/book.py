"""The lifecycle of alerts. Pure: what is found at what time goes in, the alerts that changed come out.

    nothing --found--> OPEN --acknowledge--> ACKNOWLEDGED --clean or resolve--> RESOLVED
                       OPEN --clean or resolve--> RESOLVED

There is at most one alert of a scope and feature that is not resolved. What comes back later is a new alert, except
after somebody resolved it by hand: then it has to have been clean first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.monitor.alerts.model import Alert, Finding, Scope, State

KEPT = 1_000  # resolved alerts
UPDATE_SECONDS = 10.0  # between two changes of an alert's words

Observed = Mapping[Scope, Sequence[Finding]]


class AlertBook:
    """All alerts by number, oldest first."""

    def __init__(self) -> None:
        self.alerts: dict[int, Alert] = {}
        self._next = 1
        self._resolved = 0
        self._muted: set[tuple[Scope, str]] = set()
        self._current: dict[Scope, dict[str, int]] = {}  # numbers of those that are not resolved, by feature

    def apply(self, observed: Observed, now: float) -> list[Alert]:
        """Opens, changes and resolves by what was found in the scopes that were looked at."""
        changed: list[Alert] = []
        for scope, findings in observed.items():
            present = {finding.feature: finding for finding in findings}
            self._muted -= {key for key in self._muted if key[0] == scope and key[1] not in present}
            changed += [*self._renew(scope, present, now), *self._open(scope, present, now)]
        self._trim()
        return changed

    def acknowledge(self, number: int, by: str, now: float) -> Alert:
        """Somebody looks after it; the one who said so first stays. Raises KeyError."""
        alert = self.alerts[number]
        if alert.state is State.OPEN:
            alert = self._put(replace(alert, state=State.ACKNOWLEDGED, acknowledged_by=by, update_time=now))
        return alert

    def resolve(self, number: int, now: float) -> Alert:
        """Over because somebody says so. Raises KeyError."""
        alert = self.alerts[number]
        if not alert.resolved:
            self._muted.add((alert.scope, alert.feature))
            alert = self._put(replace(alert, state=State.RESOLVED, update_time=now))
        return alert

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        muted = [[*scope, feature] for scope, feature in sorted(self._muted)]
        return {"next": self._next, "alerts": [a.to_json() for a in self.alerts.values()], "muted": muted}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AlertBook:
        """What was written."""
        made = cls()
        made._next = document["next"]
        found = [Alert.from_json(item) for item in document["alerts"]]
        for alert in found:
            made._put(alert)
        made._muted = {(Scope(model, version, kind), feature) for model, version, kind, feature in document["muted"]}
        return made

    def _renew(self, scope: Scope, present: Mapping[str, Finding], now: float) -> Iterator[Alert]:
        for alert in [self.alerts[number] for number in self._current.get(scope, {}).values()]:
            finding = present.get(alert.feature)
            if finding is None:
                yield self._put(replace(alert, state=State.RESOLVED, update_time=now))
            elif finding.message != alert.message and now - alert.update_time >= UPDATE_SECONDS:
                yield self._put(replace(alert, message=finding.message, effect=finding.effect, update_time=now))

    def _open(self, scope: Scope, present: Mapping[str, Finding], now: float) -> Iterator[Alert]:
        for feature, finding in present.items():
            if feature not in self._current.get(scope, {}) and (scope, feature) not in self._muted:
                yield self._put(Alert(self._next, *scope, *finding, open_time=now, update_time=now))
                self._next += 1

    def _put(self, alert: Alert) -> Alert:
        self.alerts[alert.number] = alert
        current = self._current.setdefault(alert.scope, {})
        if alert.resolved:
            current.pop(alert.feature, None)
            self._resolved += 1
        else:
            current[alert.feature] = alert.number
        return alert

    def _trim(self) -> None:
        if self._resolved <= KEPT:
            return
        resolved = [number for number, alert in self.alerts.items() if alert.resolved]
        for number in resolved[: len(resolved) - KEPT]:
            del self.alerts[number]
        self._resolved = KEPT
