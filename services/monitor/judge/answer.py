"""From what the judge knows to its verdict: a flat list of questions, the first that has an answer gives the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.monitor.judge import sentences
from services.monitor.judge.evidence import Arm, Evidence, Suspicion, Verdict, Why
from services.monitor.judge.interruptions import SETTLE_SECONDS
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.promotion import Gap, Rate, gap, more_requests

if TYPE_CHECKING:
    from services.monitor.judge.verdict import Judge

FRESH_SECONDS = 5.0
QUIET_SECONDS = 60.0  # without a request for so long there is no data
LOST_SECONDS = 60.0
WATCH = 0.1  # of the limit: above that nothing is promoted


@dataclass(frozen=True)
class Ruling:
    """A verdict with its reason, and how many requests more it takes."""

    verdict: Verdict
    why: Why
    message: str
    more: int = 0


@dataclass(frozen=True)
class Compared:
    """One of the comparisons that a promotion needs."""

    what: str
    stable: Rate
    candidate: Rate
    gap: Gap


def answer(judge: Judge, now: float) -> Evidence:
    """Everything at this moment."""
    traffic, split, arms = judge.traffic, judge.split, _arms(judge, now)
    compared = _compared(judge)
    ruling = _rule(judge, now, arms, compared)
    return Evidence(
        time=traffic.time,
        verdict=ruling.verdict,
        reason=ruling.why,
        message=ruling.message,
        stable=arms[Side.STABLE],
        candidate=arms[Side.CANDIDATE],
        suspicions=_suspicions(judge),
        upper_difference=max(each.gap.upper for each in compared),
        declared_share=split.share if split else 0.0,
        realised_share=split.realised if split else 0.0,
        split_evidence=split.evidence if split else 1.0,
        slow_ms=judge.slow_ms,
        infra_events=judge.interruptions.events,
        lost_events=traffic.lost_since(now - LOST_SECONDS),
        infra_until=judge.interruptions.until,
        more_requests=ruling.more,
    )


def _arms(judge: Judge, now: float) -> dict[Side, Arm]:
    return {side: judge.traffic.arm(side, now) for side in Side}


def _suspicions(judge: Judge) -> tuple[Suspicion, ...]:
    replay = (judge.disagreement.suspicion,) if judge.disagreement else ()
    return (*(suspect.suspicion for suspect in judge.suspects.values()), *replay)


def _rule(judge: Judge, now: float, arms: dict[Side, Arm], compared: list[Compared]) -> Ruling:
    if judge.rollback is not None:
        return Ruling(Verdict.ROLLBACK, *judge.rollback)
    return _unable(judge, now, arms) or _unsafe(judge, now, arms) or _good_enough(judge, arms, compared)


def _unable(judge: Judge, now: float, arms: dict[Side, Arm]) -> Ruling | None:
    """What keeps the judge from judging at all."""
    traffic, split = judge.traffic, judge.split
    if traffic.time and now - traffic.time > FRESH_SECONDS:
        return _hold(Why.STALE, sentences.stale(now - traffic.time))
    if judge.interruptions.on(now):
        seconds = judge.interruptions.until - now
        return _hold(Why.INFRA, sentences.infra(judge.interruptions.latest, seconds))
    if split is not None and split.mismatch:
        return _hold(Why.SPLIT_MISMATCH, sentences.split_mismatch(split))
    if split is not None and split.share in (0.0, 1.0):
        return _hold(Why.NO_DATA, sentences.one_sided(arms[Side.CANDIDATE if split.share else Side.STABLE]))
    for side in (Side.CANDIDATE, Side.STABLE):
        if not traffic.window[side].requests or now - traffic.asked[side] > QUIET_SECONDS:
            return _hold(Why.NO_DATA, sentences.no_data(arms[side]))
    return None


def _unsafe(judge: Judge, now: float, arms: dict[Side, Arm]) -> Ruling | None:
    """What forbids a promotion, however good the rates are."""
    if judge.interruptions.unreached(now, judge.policy.margin):
        return _hold(Why.INFRA, sentences.unreached(arms[Side.CANDIDATE], SETTLE_SECONDS))
    if now - judge.interruptions.silent <= FRESH_SECONDS:
        return _hold(Why.INFRA, sentences.silent())
    lost = judge.traffic.lost_since(now - LOST_SECONDS)
    if lost:
        return _hold(Why.EVENTS_LOST, sentences.events_lost(lost))
    for suspect in judge.suspects.values():
        if suspect.process.evidence >= WATCH * suspect.limit:
            return _hold(Why.SUSPECT, sentences.suspect(suspect.suspicion, arms))
    return None


def _good_enough(judge: Judge, arms: dict[Side, Arm], compared: list[Compared]) -> Ruling:
    """All comparisons have to be within the margin; of those that are not, the worst is told."""
    alpha, margin = judge.policy.promote_alpha, judge.policy.margin
    versions = (arms[Side.STABLE].version, arms[Side.CANDIDATE].version)
    worst = max(compared, key=lambda each: each.gap.upper - each.gap.allowed)
    seen = sentences.rates(worst.what, versions, worst.stable, worst.candidate)
    if worst.gap.within:
        return Ruling(Verdict.PROMOTE, Why.GOOD, sentences.good(seen, worst.gap, 1 - alpha))
    if worst.gap.beyond:
        return _hold(Why.ABOVE_MARGIN, sentences.above_margin(seen, worst.gap))
    more = more_requests(worst.stable, worst.candidate, alpha, margin)
    return Ruling(Verdict.HOLD, Why.TOO_FEW, sentences.too_few(seen, worst.gap, more), more)


def _compared(judge: Judge) -> list[Compared]:
    """Requests since the weights last changed; labels, which come late, since the comparison began."""
    window, arms = judge.traffic.window, judge.traffic.arms
    pairs = {"requests": [Rate(window[side].bad, window[side].requests) for side in Side]}
    if Kind.OUTCOMES in judge.suspects and any(arms[side].outcomes for side in Side):
        pairs["reported outcomes"] = [Rate(arms[side].wrong, arms[side].outcomes) for side in Side]
    alpha, margin = judge.policy.promote_alpha, judge.policy.margin
    return [Compared(what, stable, new, gap(stable, new, alpha, margin)) for what, (stable, new) in pairs.items()]


def _hold(why: Why, message: str) -> Ruling:
    return Ruling(Verdict.HOLD, why, message)
