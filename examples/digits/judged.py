"""The second half of the demo: releases that need nobody. A good version arrives by itself, three bad ones go back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bmase import BmaseError, Client
from bmase.core.releases import state_word
from bmase.monitor.v1 import monitor_pb2
from bmase.patcher.v1 import release_pb2 as pb

from examples.digits.traffic import Answer, Traffic

RELEASE_SECONDS = 120.0
REPORT_SECONDS = 0.25
SLOW_FACTOR = 3.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """A version to be released, and what is to become of it."""

    version: int
    label: str
    good: bool = False


@dataclass(frozen=True)
class Judged:
    """One release: how it ended, why, after how long, and how many requests its version served badly."""

    candidate: Candidate
    promoted: bool
    reason: str
    message: str
    seconds: float
    first_bad_to_zero: float | None
    requests: int
    harmed: int

    @property
    def as_promised(self) -> bool:
        """Whether it became of it what was to become of it."""
        return self.promoted == self.candidate.good


def policy() -> pb.ReleasePolicy:
    """Quick enough to watch; a real one takes its time, which costs nothing when nobody has to look."""
    made = pb.ReleasePolicy(shadow_samples=-1, keep_old=False)
    made.judge.margin = 0.05
    made.keep.FromTimedelta(timedelta(seconds=1))
    for percent in (10, 50, 100):
        step = made.steps.add(percent=percent, min_requests=100)
        step.min_time.FromTimedelta(timedelta(seconds=2))
    return made


class Labels:
    """Reports what was right, a moment after each answer, as an application does that learns it later."""

    def __init__(self, client: Client, model: str, traffic: Traffic) -> None:
        self._client, self._model, self._traffic = client, model, traffic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)
        self.reported = 0
        self.problem = ""

    def __enter__(self) -> Labels:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        done = len(self._traffic.answers)
        while not self._stopping.wait(REPORT_SECONDS):
            answers = self._traffic.answers[done:]
            try:
                self._client.monitor.report(self._model, [_outcome(a) for a in answers if not a.failure])
            except BmaseError as error:
                self.problem = str(error)
                continue
            done += len(answers)
            self.reported += len(answers)


def _outcome(answer: Answer) -> monitor_pb2.Outcome:
    return monitor_pb2.Outcome(
        request_id=answer.request_id, label=str(answer.label), version=answer.version, prediction=str(answer.digit)
    )


def release(client: Client, traffic: Traffic, model: str, candidate: Candidate, say: Say) -> Judged:
    """Starts it and looks on; all that happens would happen without."""
    version, told = candidate.version, ""

    def progress(seen: pb.Release) -> None:
        nonlocal told
        line = f"{state_word(seen)} at {seen.percent:g} %"
        if line != told:
            told = line
            say(f"  {line}" + (f": {seen.message}" if seen.message else ""))

    begun = time.monotonic()
    made = client.releases.start(model, version, policy())
    decided = client.releases.wait(made.name, progress, timeout=RELEASE_SECONDS)
    seconds = time.monotonic() - begun
    answers = traffic.since(begun)
    bad = [] if candidate.good else _bad(answers, version, made.stable)
    ended = client.releases.wait(made.name, decided=False, timeout=RELEASE_SECONDS)
    return Judged(
        candidate=candidate,
        promoted=ended.state in (pb.Release.STATE_PROMOTED, pb.Release.STATE_COMPLETED),
        reason=decided.reason,
        message=decided.message,
        seconds=seconds,
        first_bad_to_zero=_to_zero(answers, bad, version),
        requests=sum(a.version == version for a in answers) + sum(bool(a.failure) for a in answers),
        harmed=len(bad),
    )


def _bad(answers: list[Answer], version: int, stable: int) -> list[Answer]:
    """Failed, wrong or slow answers of the version (a failed one has no version: only the candidate fails here)."""
    usual = sorted(a.done - a.sent for a in answers if a.version == stable)
    slow = SLOW_FACTOR * usual[len(usual) * 99 // 100] if usual else float("inf")
    return [a for a in answers if a.failure or (a.version == version and (not a.right or a.done - a.sent > slow))]


def _to_zero(answers: list[Answer], bad: list[Answer], version: int) -> float | None:
    """Seconds from the first bad answer until the version's last one."""
    last = max((a.done for a in answers if a.version == version), default=0.0)
    return last - bad[0].done if bad else None
