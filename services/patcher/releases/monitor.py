"""The monitor as the releases know it: it replays samples, and says all the time how the candidate does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from bmase.monitor.v1 import evidence_pb2, monitor_pb2
from bmase.monitor.v1.monitor_pb2_grpc import MonitorServiceStub
from bmase.reasons import Reason
from google.protobuf.message import DecodeError

from services.kit.errors import DomainError, translated
from services.patcher.releases.observation import Evidence, Shadowed, Verdict
from services.patcher.releases.policy import Judge
from services.patcher.releases.state import Release, Why

CALL_SECONDS = 5.0
# It speaks once a second: a stream that is silent for longer hangs, and another one is opened.
SILENCE_SECONDS = 5.0
REPLAY_SECONDS = 600.0

_VERDICTS = {
    evidence_pb2.Evidence.VERDICT_PROMOTE: Verdict.PROMOTE,
    evidence_pb2.Evidence.VERDICT_ROLLBACK: Verdict.ROLLBACK,
}


class Monitor:
    """Calls to the monitor."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = MonitorServiceStub(channel)

    async def evidence(self, release: Release) -> AsyncIterator[Evidence]:
        """Begins to judge, or goes on; then all that is said. Raises DomainError when the monitor is away or silent."""
        request = monitor_pb2.StartComparisonRequest(comparison=comparison_message(release))
        try:
            await self._stub.StartComparison(request, timeout=CALL_SECONDS)
            call = self._stub.WatchComparison(monitor_pb2.WatchComparisonRequest(name=release.comparison))
            try:
                while (said := await _next(call)) is not None:
                    if said.HasField("evidence"):
                        yield read_evidence(said.evidence)
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            raise translated(error, "monitor") from error

    async def latest(self, release: Release) -> bytes:
        """The evidence of now, for somebody who does not follow it; empty when there is none."""
        request = monitor_pb2.GetComparisonRequest(name=release.comparison)
        try:
            said = await self._stub.GetComparison(request, timeout=1.0)
        except grpc.aio.AioRpcError:
            return b""
        return bytes(said.evidence.SerializeToString()) if said.HasField("evidence") else b""

    async def end(self, comparison: str) -> None:
        """Nothing is left to judge; one that is not known has ended."""
        try:
            await self._stub.EndComparison(monitor_pb2.EndComparisonRequest(name=comparison), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = translated(error, "monitor")
            if refusal.reason is not Reason.COMPARISON_NOT_FOUND:
                raise refusal from error

    async def replay(self, model: str, stable: int, candidate: int, count: int) -> Shadowed:
        """The result, or why there is none: a release does not fail because nobody could replay."""
        request = monitor_pb2.ReplaySamplesRequest(
            model=f"models/{model}", stable=stable, candidate=candidate, count=count
        )
        last: monitor_pb2.ReplaySamplesResponse | None = None
        try:
            async for said in self._stub.ReplaySamples(request, timeout=REPLAY_SECONDS):
                last = said
        except grpc.aio.AioRpcError as error:
            refusal = translated(error, "monitor")
            if last is None or not last.done:
                return Shadowed(skipped=Why.NO_MONITOR, message=refusal.message)
            # A candidate that hangs takes the replay's whole time: what was counted until then says so.
            return _shadowed(last, last.done, f"the replay broke off: {refusal.message}")
        if last is None or last.total == 0:
            return Shadowed(skipped=Why.NO_SAMPLES, message=f"no samples of {model} are kept")
        return _shadowed(last, last.total)


def _shadowed(last: monitor_pb2.ReplaySamplesResponse, total: int, message: str = "") -> Shadowed:
    return Shadowed(message=message, total=total, failed=last.candidate_failed, disagreed=last.disagreed)


async def _next(call: grpc.aio.UnaryStreamCall) -> monitor_pb2.Comparison | None:
    """The next message; None when the comparison has ended."""
    try:
        said = await asyncio.wait_for(call.read(), SILENCE_SECONDS)
    except TimeoutError as error:
        message = f"the monitor has been silent for {SILENCE_SECONDS:g} s"
        raise DomainError(Reason.SERVICE_UNAVAILABLE, message) from error
    return None if said is grpc.aio.EOF else said


def comparison_message(release: Release) -> monitor_pb2.Comparison:
    """What is to be judged; always the same for a release."""
    return monitor_pb2.Comparison(
        name=release.comparison,
        model=f"models/{release.model}",
        stable=release.stable,
        candidate=release.candidate,
        policy=judge_message(release.policy.judge),
    )


def judge_message(judge: Judge) -> evidence_pb2.JudgePolicy:
    """The limits in the words of the contract."""
    message = evidence_pb2.JudgePolicy(**judge.model_dump(exclude={"burst"}))
    if judge.burst:
        message.burst.FromNanoseconds(round(judge.burst * 1e9))
    return message


def read_evidence(said: evidence_pb2.Evidence) -> Evidence:
    """A verdict that is not known holds."""
    return Evidence(
        time=said.time.ToNanoseconds() / 1e9,
        verdict=_VERDICTS.get(said.verdict, Verdict.HOLD),
        reason=said.reason,
        message=said.message,
        requests=said.candidate.requests,
        raw=said.SerializeToString(),
    )


def evidence_message(raw: bytes) -> evidence_pb2.Evidence | None:
    """As it was said; None when there was none, or it cannot be read any more."""
    if not raw:
        return None
    try:
        return evidence_pb2.Evidence.FromString(raw)
    except DecodeError:
        return None
