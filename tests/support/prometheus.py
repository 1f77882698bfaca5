"""A Prometheus as a test asks it, and what dashboards and rules ask it for."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.grafana import DASHBOARDS

# Names as they stand in front of their labels or range; what functions and keywords are called is not among them.
SELECTOR = re.compile(
    r"\b((?:envoy|bmase|nv|process|prometheus|model|model_version)[_:][a-zA-Z0-9_:]*|up|ALERTS)\b(\{[^}]*\})?(?!\s*\()"
)
LABEL_LIST = re.compile(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)")


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    dashboard: str
    panel: str
    expression: str


def dashboard_queries(folder: Path = DASHBOARDS) -> Iterator[Asked]:
    """Every query of every dashboard, with all values of its variables."""
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                yield Asked(path.stem, panel["title"], re.sub(r"\$\w+", ".*", target["expr"]))


def selectors(expression: str) -> set[str]:
    """The series that an expression reads, as selectors with their labels in order."""
    found = SELECTOR.findall(LABEL_LIST.sub("", expression))
    return {name + _ordered(labels) for name, labels in found}


def _ordered(labels: str) -> str:
    matchers = sorted(re.findall(r'\w+\s*(?:=~|!~|!=|=)\s*"[^"]*"', labels))
    return "{" + ",".join(matchers) + "}" if matchers else ""


class Prometheus:
    """The HTTP API of a running one."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1/"

    def ask(self, path: str, **parameters: object) -> Any:
        """The data of the answer; an AssertionError with Prometheus' words when it refuses."""
        url = self._url + path + "?" + urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error

    def value(self, expression: str) -> float | None:
        """The first number of an expression now."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def numbers(self, expression: str, seconds: float) -> int:
        """How many finite values the expression had in the last seconds, over all its series."""
        now = time.time()
        found = self.ask("query_range", query=expression, start=now - seconds, end=now, step=1)["result"]
        return sum(math.isfinite(float(value)) for series in found for _, value in series["values"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules, as loaded."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
