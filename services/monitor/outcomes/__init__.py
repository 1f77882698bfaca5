"""What turned out to be right: reports meet their requests, once, and become events of the judge."""

from __future__ import annotations

from services.monitor.outcomes.accuracy import Accuracy
from services.monitor.outcomes.model import Given, OutcomeEvent, wrong
from services.monitor.outcomes.reports import Outcomes

__all__ = ["Accuracy", "Given", "OutcomeEvent", "Outcomes", "wrong"]
