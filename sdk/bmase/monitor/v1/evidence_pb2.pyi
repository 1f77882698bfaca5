import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JudgePolicy(_message.Message):
    __slots__ = ("alpha", "promote_alpha", "margin", "slow_ms", "burst", "max_disagreement", "ignore_slow", "ignore_outcomes")
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_ALPHA_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    SLOW_MS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    MAX_DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    IGNORE_SLOW_FIELD_NUMBER: _ClassVar[int]
    IGNORE_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    alpha: float
    promote_alpha: float
    margin: float
    slow_ms: float
    burst: _duration_pb2.Duration
    max_disagreement: float
    ignore_slow: bool
    ignore_outcomes: bool
    def __init__(self, alpha: _Optional[float] = ..., promote_alpha: _Optional[float] = ..., margin: _Optional[float] = ..., slow_ms: _Optional[float] = ..., burst: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_disagreement: _Optional[float] = ..., ignore_slow: _Optional[bool] = ..., ignore_outcomes: _Optional[bool] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("version", "requests", "errors", "slow", "outcomes", "wrong", "p50_ms", "p99_ms", "recent_requests")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    SLOW_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    RECENT_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    requests: int
    errors: int
    slow: int
    outcomes: int
    wrong: int
    p50_ms: float
    p99_ms: float
    recent_requests: int
    def __init__(self, version: _Optional[int] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., slow: _Optional[int] = ..., outcomes: _Optional[int] = ..., wrong: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., recent_requests: _Optional[int] = ...) -> None: ...

class Suspicion(_message.Message):
    __slots__ = ("kind", "evidence", "limit", "stable_events", "candidate_events", "stable_raw", "candidate_raw", "ratio")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Suspicion.Kind]
        KIND_ERRORS: _ClassVar[Suspicion.Kind]
        KIND_SLOW: _ClassVar[Suspicion.Kind]
        KIND_OUTCOMES: _ClassVar[Suspicion.Kind]
        KIND_DISAGREEMENT: _ClassVar[Suspicion.Kind]
    KIND_UNSPECIFIED: Suspicion.Kind
    KIND_ERRORS: Suspicion.Kind
    KIND_SLOW: Suspicion.Kind
    KIND_OUTCOMES: Suspicion.Kind
    KIND_DISAGREEMENT: Suspicion.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STABLE_EVENTS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_EVENTS_FIELD_NUMBER: _ClassVar[int]
    STABLE_RAW_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_RAW_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    kind: Suspicion.Kind
    evidence: float
    limit: float
    stable_events: int
    candidate_events: int
    stable_raw: int
    candidate_raw: int
    ratio: float
    def __init__(self, kind: _Optional[_Union[Suspicion.Kind, str]] = ..., evidence: _Optional[float] = ..., limit: _Optional[float] = ..., stable_events: _Optional[int] = ..., candidate_events: _Optional[int] = ..., stable_raw: _Optional[int] = ..., candidate_raw: _Optional[int] = ..., ratio: _Optional[float] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("time", "verdict", "reason", "message", "stable", "candidate", "suspicions", "upper_difference", "declared_share", "realised_share", "split_evidence", "slow_ms", "infra_events", "lost_events", "infra_until", "more_requests")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[Evidence.Verdict]
        VERDICT_HOLD: _ClassVar[Evidence.Verdict]
        VERDICT_PROMOTE: _ClassVar[Evidence.Verdict]
        VERDICT_ROLLBACK: _ClassVar[Evidence.Verdict]
    VERDICT_UNSPECIFIED: Evidence.Verdict
    VERDICT_HOLD: Evidence.Verdict
    VERDICT_PROMOTE: Evidence.Verdict
    VERDICT_ROLLBACK: Evidence.Verdict
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    SUSPICIONS_FIELD_NUMBER: _ClassVar[int]
    UPPER_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    DECLARED_SHARE_FIELD_NUMBER: _ClassVar[int]
    REALISED_SHARE_FIELD_NUMBER: _ClassVar[int]
    SPLIT_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SLOW_MS_FIELD_NUMBER: _ClassVar[int]
    INFRA_EVENTS_FIELD_NUMBER: _ClassVar[int]
    LOST_EVENTS_FIELD_NUMBER: _ClassVar[int]
    INFRA_UNTIL_FIELD_NUMBER: _ClassVar[int]
    MORE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    verdict: Evidence.Verdict
    reason: str
    message: str
    stable: Arm
    candidate: Arm
    suspicions: _containers.RepeatedCompositeFieldContainer[Suspicion]
    upper_difference: float
    declared_share: float
    realised_share: float
    split_evidence: float
    slow_ms: float
    infra_events: int
    lost_events: int
    infra_until: _timestamp_pb2.Timestamp
    more_requests: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verdict: _Optional[_Union[Evidence.Verdict, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., stable: _Optional[_Union[Arm, _Mapping]] = ..., candidate: _Optional[_Union[Arm, _Mapping]] = ..., suspicions: _Optional[_Iterable[_Union[Suspicion, _Mapping]]] = ..., upper_difference: _Optional[float] = ..., declared_share: _Optional[float] = ..., realised_share: _Optional[float] = ..., split_evidence: _Optional[float] = ..., slow_ms: _Optional[float] = ..., infra_events: _Optional[int] = ..., lost_events: _Optional[int] = ..., infra_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., more_requests: _Optional[int] = ...) -> None: ...
