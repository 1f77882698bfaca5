"""Verdicts in words, with the numbers that they stand on."""

from __future__ import annotations

from collections.abc import Mapping

from services.monitor.judge.disagreement import Disagreement
from services.monitor.judge.evidence import Arm, Suspicion
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.promotion import Gap, Rate
from services.monitor.judge.split import Split

DID = {
    Kind.ERRORS: ("failed", "failed requests"),
    Kind.SLOW: ("was slow in", "slow requests"),
    Kind.OUTCOMES: ("was wrong in", "wrong answers"),
}


def bad(suspicion: Suspicion, arms: Mapping[Side, Arm]) -> str:
    """Why it was rolled back: what both did, and what the evidence stands on."""
    stable, candidate = arms[Side.STABLE], arms[Side.CANDIDATE]
    did, things = DID[suspicion.kind]
    seen = (
        f"version {candidate.version} {did} {_of(suspicion.kind, candidate, suspicion.candidate_raw)}, "
        f"version {stable.version} {_of(suspicion.kind, stable, suspicion.stable_raw)}"
    )
    events = suspicion.candidate_events + suspicion.stable_events
    counted = (
        f"{suspicion.candidate_events:,} of the {events:,} {things} that count, one a client and burst, were its own"
    )
    return f"{seen}; {counted}{_ratio(suspicion)}; evidence {_big(suspicion.evidence)}, limit {_big(suspicion.limit)}"


def _of(kind: Kind, arm: Arm, raw: int) -> str:
    """Events come before the counters do, so the larger number is the newer one."""
    counted = {Kind.ERRORS: arm.errors, Kind.SLOW: arm.slow, Kind.OUTCOMES: arm.wrong}[kind]
    total = arm.outcomes if kind is Kind.OUTCOMES else arm.requests
    many = max(counted, raw)
    return f"{many:,} of {max(total, many):,}" + (" reported" if kind is Kind.OUTCOMES else " requests")


def _ratio(suspicion: Suspicion) -> str:
    return f": {suspicion.ratio:.3g} times as likely at an equal share of traffic" if suspicion.ratio else ""


def _big(number: float) -> str:
    return f"{number:.0f}" if number < 1e6 else f"{number:.1e}"


def infra_candidate(candidate: Arm, blame: str) -> str:
    return f"version {candidate.version} seems to break its machines: {blame}"


def disagrees(found: Disagreement) -> str:
    return (
        f"{found.disagreed:,} of {found.compared:,} replayed requests were answered differently; "
        f"surely more than the {found.allowed:.1%} that are allowed"
    )


def stale(age: float) -> str:
    return f"nothing was counted for {age:.0f} s; nothing is promoted on old numbers"


def infra(latest: str, seconds: float) -> str:
    return f"{latest}; judged again in {seconds:.0f} s, and what happens until then is not held against the candidate"


def unreached(candidate: Arm, seconds: float) -> str:
    return f"requests of version {candidate.version} reach no server; not promoted until {seconds:.0f} s have none"


def silent() -> str:
    return "a gateway does not tell its counters; nothing is promoted without them"


def split_mismatch(split: Split) -> str:
    return (
        f"{split.realised:.2%} of {split.stable + split.candidate:,} requests went to the candidate, declared are "
        f"{split.share:.2%}; see whether every gateway has the latest weights"
    )


def no_data(arm: Arm) -> str:
    return f"version {arm.version} has no requests to be judged by"


def one_sided(arm: Arm) -> str:
    return f"all requests go to version {arm.version}: there is nothing to compare it with"


def events_lost(events: int) -> str:
    return f"{events:,} bad requests were counted by gateways, but not reported to the monitor; not promoted meanwhile"


def suspect(suspicion: Suspicion, arms: Mapping[Side, Arm]) -> str:
    return f"not yet surely worse, but too suspicious to go on: {bad(suspicion, arms)}"


def rates(what: str, versions: tuple[int, int], stable: Rate, candidate: Rate) -> str:
    return (
        f"{candidate.bad:,.0f} of {candidate.total:,.0f} {what} of version {versions[1]} were bad, "
        f"{stable.bad:,.0f} of {stable.total:,.0f} of version {versions[0]}"
    )


def good(seen: str, gap: Gap, confidence: float) -> str:
    bound = f"with {confidence:.0%} confidence at most {_points(gap.upper)} more"
    return f"{seen}; {bound}, {_points(gap.allowed)} are allowed"


def too_few(seen: str, gap: Gap, more: int) -> str:
    return f"{seen}; it may still be {_points(gap.upper)} worse and {_points(gap.allowed)} are allowed: " + (
        f"about {more:,} more of the candidate's are needed at these rates"
        if more
        else "more will not help at these rates"
    )


def above_margin(seen: str, gap: Gap) -> str:
    return f"{seen}; that is at least {_points(gap.lower)} worse, and {_points(gap.allowed)} are allowed"


def _points(part: float) -> str:
    return f"{100 * part:.2g} points"
