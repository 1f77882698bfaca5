import datetime

from bmase.monitor.v1 import evidence_pb2 as _evidence_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Release(_message.Message):
    __slots__ = ("name", "model", "candidate", "stable", "policy", "state", "step", "percent", "reason", "message", "paused", "waits_at_gate", "evidence", "create_time", "step_time", "end_time", "keep_until", "created_by", "etag")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Release.State]
        STATE_DEPLOYING: _ClassVar[Release.State]
        STATE_SHADOW: _ClassVar[Release.State]
        STATE_STEPPING: _ClassVar[Release.State]
        STATE_PROMOTED: _ClassVar[Release.State]
        STATE_COMPLETED: _ClassVar[Release.State]
        STATE_ROLLING_BACK: _ClassVar[Release.State]
        STATE_ROLLED_BACK: _ClassVar[Release.State]
        STATE_FAILED: _ClassVar[Release.State]
    STATE_UNSPECIFIED: Release.State
    STATE_DEPLOYING: Release.State
    STATE_SHADOW: Release.State
    STATE_STEPPING: Release.State
    STATE_PROMOTED: Release.State
    STATE_COMPLETED: Release.State
    STATE_ROLLING_BACK: Release.State
    STATE_ROLLED_BACK: Release.State
    STATE_FAILED: Release.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    WAITS_AT_GATE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STEP_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    KEEP_UNTIL_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    candidate: int
    stable: int
    policy: ReleasePolicy
    state: Release.State
    step: int
    percent: float
    reason: str
    message: str
    paused: bool
    waits_at_gate: bool
    evidence: _evidence_pb2.Evidence
    create_time: _timestamp_pb2.Timestamp
    step_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    keep_until: _timestamp_pb2.Timestamp
    created_by: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., candidate: _Optional[int] = ..., stable: _Optional[int] = ..., policy: _Optional[_Union[ReleasePolicy, _Mapping]] = ..., state: _Optional[_Union[Release.State, str]] = ..., step: _Optional[int] = ..., percent: _Optional[float] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., paused: _Optional[bool] = ..., waits_at_gate: _Optional[bool] = ..., evidence: _Optional[_Union[_evidence_pb2.Evidence, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., keep_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ReleasePolicy(_message.Message):
    __slots__ = ("steps", "judge", "shadow_samples", "keep", "keep_old", "webhooks", "on_timeout", "replicas", "keep_candidate")
    class OnTimeout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ON_TIMEOUT_UNSPECIFIED: _ClassVar[ReleasePolicy.OnTimeout]
        ON_TIMEOUT_HOLD: _ClassVar[ReleasePolicy.OnTimeout]
        ON_TIMEOUT_ROLLBACK: _ClassVar[ReleasePolicy.OnTimeout]
    ON_TIMEOUT_UNSPECIFIED: ReleasePolicy.OnTimeout
    ON_TIMEOUT_HOLD: ReleasePolicy.OnTimeout
    ON_TIMEOUT_ROLLBACK: ReleasePolicy.OnTimeout
    STEPS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    KEEP_OLD_FIELD_NUMBER: _ClassVar[int]
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    ON_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    KEEP_CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    judge: _evidence_pb2.JudgePolicy
    shadow_samples: int
    keep: _duration_pb2.Duration
    keep_old: bool
    webhooks: _containers.RepeatedCompositeFieldContainer[Webhook]
    on_timeout: ReleasePolicy.OnTimeout
    replicas: int
    keep_candidate: bool
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., judge: _Optional[_Union[_evidence_pb2.JudgePolicy, _Mapping]] = ..., shadow_samples: _Optional[int] = ..., keep: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., keep_old: _Optional[bool] = ..., webhooks: _Optional[_Iterable[_Union[Webhook, _Mapping]]] = ..., on_timeout: _Optional[_Union[ReleasePolicy.OnTimeout, str]] = ..., replicas: _Optional[int] = ..., keep_candidate: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("percent", "min_requests", "min_time", "max_time", "gate")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    MIN_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MIN_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_TIME_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    percent: float
    min_requests: int
    min_time: _duration_pb2.Duration
    max_time: _duration_pb2.Duration
    gate: bool
    def __init__(self, percent: _Optional[float] = ..., min_requests: _Optional[int] = ..., min_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., gate: _Optional[bool] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("url", "gate", "timeout")
    URL_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    url: str
    gate: bool
    timeout: _duration_pb2.Duration
    def __init__(self, url: _Optional[str] = ..., gate: _Optional[bool] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateReleaseRequest(_message.Message):
    __slots__ = ("release", "candidate", "request_id")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    release: Release
    candidate: str
    request_id: str
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ..., candidate: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetReleaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ("model", "active", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    active: bool
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., active: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases", "next_page_token")
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    next_page_token: str
    def __init__(self, releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchReleaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PauseReleaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeReleaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PromoteReleaseRequest(_message.Message):
    __slots__ = ("name", "full")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    name: str
    full: bool
    def __init__(self, name: _Optional[str] = ..., full: _Optional[bool] = ...) -> None: ...

class RollbackReleaseRequest(_message.Message):
    __slots__ = ("name", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    message: str
    def __init__(self, name: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ListReleaseEventsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReleaseEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ReleaseEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[ReleaseEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReleaseEvent(_message.Message):
    __slots__ = ("number", "time", "kind", "message", "reason", "actor", "percent", "evidence")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: _timestamp_pb2.Timestamp
    kind: str
    message: str
    reason: str
    actor: str
    percent: float
    evidence: _evidence_pb2.Evidence
    def __init__(self, number: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., percent: _Optional[float] = ..., evidence: _Optional[_Union[_evidence_pb2.Evidence, _Mapping]] = ...) -> None: ...
