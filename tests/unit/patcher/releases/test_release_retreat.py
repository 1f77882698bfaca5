"""When stable is asked itself, before any traffic goes back to it; and what silence is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.patcher.releases.observation import Answer, Deployed, Evidence, Seen, Stand, Verdict
from services.patcher.releases.policy import Policy
from services.patcher.releases.retreat import needs_stable
from services.patcher.releases.state import Abort, Hold, Phase, Release, Why
from services.patcher.releases.stepping import enough

READY = Deployed(Stand.READY, answers=True)
POLICY = Policy.model_validate(
    {
        "steps": [{"percent": 5, "max_time": 60}, {"percent": 100}],
        "on_timeout": 2,
        "webhooks": [{"url": "https://gate.example/x", "gate": True}],
    }
)
STEPPING = Release("r1", "digits", 2, 1, POLICY, phase=Phase.STEPPING, step=0, step_since=1000.0)
SEEN = Seen(1010.0, stable=READY, candidate=READY)


@pytest.mark.parametrize(
    ("release", "seen", "asked"),
    [
        (STEPPING, SEEN, False),
        (replace(STEPPING, abort=Abort("REQUESTED", "no")), SEEN, True),
        (STEPPING, replace(SEEN, candidate=Deployed()), True),
        (STEPPING, replace(SEEN, evidence=Evidence(0.0, Verdict.ROLLBACK)), True),
        (STEPPING, replace(SEEN, answers={(1, 0): (Answer.ROLLBACK, "no")}), True),
        (STEPPING, replace(SEEN, answers={(0, 0): (Answer.ROLLBACK, "of another step")}), False),
        (STEPPING, replace(SEEN, now=1061.0), True),
        (replace(STEPPING, policy=POLICY.model_copy(update={"on_timeout": 1})), replace(SEEN, now=1061.0), False),
        (replace(STEPPING, sheltered=True), replace(SEEN, now=1061.0), False),
    ],
)
def test_whoever_takes_the_traffic_away_asks_stable_first(release: Release, seen: Seen, asked: bool) -> None:
    assert needs_stable(release, seen) is asked


def test_a_monitor_that_has_not_counted_yet_is_not_said_to_be_decades_late() -> None:
    found = enough(STEPPING, replace(SEEN, evidence=Evidence(0.0, Verdict.HOLD)))
    assert isinstance(found, Hold)
    assert (found.reason, found.message) == (Why.NO_EVIDENCE, "the monitor has counted nothing yet")
