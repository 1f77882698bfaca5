"""When waiting is over, and when it is hopeless."""

from __future__ import annotations

from infra.local.readiness import CRASHES_TO_GIVE_UP, Progress
from infra.local.supervision import ProcessState


def _states(pid: int, state: str = "RUNNING") -> dict[str, ProcessState]:
    return {"registry": ProcessState("registry", state, pid, 0)}


def _progress() -> Progress:
    return Progress({"registry": "starting"})


def test_a_crash_takes_readiness_back() -> None:
    progress = _progress()
    progress.see(_states(1))
    progress.ready_after["registry"] = 1.0
    assert progress.pending == []
    progress.see(_states(2))
    assert progress.pending == ["registry"]
    assert progress.crashes["registry"] == 1


def test_the_first_start_is_no_crash() -> None:
    progress = _progress()
    for pid in (0, 0, 1, 1):
        progress.see(_states(pid))
    assert progress.crashes["registry"] == 0


def test_a_program_that_keeps_dying_is_the_culprit() -> None:
    progress = _progress()
    for pid in range(1, CRASHES_TO_GIVE_UP + 1):
        progress.see(_states(pid))
        assert progress.culprit(_states(pid)) == ""
    progress.see(_states(CRASHES_TO_GIVE_UP + 1))
    assert progress.culprit(_states(CRASHES_TO_GIVE_UP + 1)) == "registry"


def test_a_program_that_supervisord_gave_up_is_the_culprit_at_once() -> None:
    assert _progress().culprit(_states(0, "FATAL")) == "registry"
