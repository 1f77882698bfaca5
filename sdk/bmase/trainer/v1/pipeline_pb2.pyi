import datetime

from bmase.patcher.v1 import release_pb2 as _release_pb2
from bmase.trainer.v1 import trainer_pb2 as _trainer_pb2
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

class PipelinePlan(_message.Message):
    __slots__ = ("job", "no_release", "release_policy")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NO_RELEASE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_POLICY_FIELD_NUMBER: _ClassVar[int]
    job: _trainer_pb2.Job
    no_release: bool
    release_policy: _release_pb2.ReleasePolicy
    def __init__(self, job: _Optional[_Union[_trainer_pb2.Job, _Mapping]] = ..., no_release: _Optional[bool] = ..., release_policy: _Optional[_Union[_release_pb2.ReleasePolicy, _Mapping]] = ...) -> None: ...

class Pipeline(_message.Message):
    __slots__ = ("name", "plan", "model", "state", "reason", "message", "stopping", "job", "version", "release", "deployment", "schedule", "origin", "created_by", "timings", "create_time", "stage_time", "end_time", "etag")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Pipeline.State]
        STATE_RETRAINING: _ClassVar[Pipeline.State]
        STATE_EVALUATING: _ClassVar[Pipeline.State]
        STATE_REGISTERING: _ClassVar[Pipeline.State]
        STATE_RELEASING: _ClassVar[Pipeline.State]
        STATE_SUCCEEDED: _ClassVar[Pipeline.State]
        STATE_GATE_FAILED: _ClassVar[Pipeline.State]
        STATE_ROLLED_BACK: _ClassVar[Pipeline.State]
        STATE_FAILED: _ClassVar[Pipeline.State]
        STATE_CANCELLED: _ClassVar[Pipeline.State]
    STATE_UNSPECIFIED: Pipeline.State
    STATE_RETRAINING: Pipeline.State
    STATE_EVALUATING: Pipeline.State
    STATE_REGISTERING: Pipeline.State
    STATE_RELEASING: Pipeline.State
    STATE_SUCCEEDED: Pipeline.State
    STATE_GATE_FAILED: Pipeline.State
    STATE_ROLLED_BACK: Pipeline.State
    STATE_FAILED: Pipeline.State
    STATE_CANCELLED: Pipeline.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    plan: PipelinePlan
    model: str
    state: Pipeline.State
    reason: str
    message: str
    stopping: bool
    job: str
    version: str
    release: str
    deployment: str
    schedule: str
    origin: str
    created_by: str
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    create_time: _timestamp_pb2.Timestamp
    stage_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., plan: _Optional[_Union[PipelinePlan, _Mapping]] = ..., model: _Optional[str] = ..., state: _Optional[_Union[Pipeline.State, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., stopping: _Optional[bool] = ..., job: _Optional[str] = ..., version: _Optional[str] = ..., release: _Optional[str] = ..., deployment: _Optional[str] = ..., schedule: _Optional[str] = ..., origin: _Optional[str] = ..., created_by: _Optional[str] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stage_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("state", "duration")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    state: Pipeline.State
    duration: _duration_pb2.Duration
    def __init__(self, state: _Optional[_Union[Pipeline.State, str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreatePipelineRequest(_message.Message):
    __slots__ = ("plan", "request_id", "message")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    plan: PipelinePlan
    request_id: str
    message: str
    def __init__(self, plan: _Optional[_Union[PipelinePlan, _Mapping]] = ..., request_id: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class GetPipelineRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListPipelinesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class ListPipelinesResponse(_message.Message):
    __slots__ = ("pipelines", "next_page_token")
    PIPELINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pipelines: _containers.RepeatedCompositeFieldContainer[Pipeline]
    next_page_token: str
    def __init__(self, pipelines: _Optional[_Iterable[_Union[Pipeline, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelPipelineRequest(_message.Message):
    __slots__ = ("name", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    message: str
    def __init__(self, name: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class WatchPipelinesRequest(_message.Message):
    __slots__ = ("name", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ListPipelineEventsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPipelineEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[PipelineEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[PipelineEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PipelineEvent(_message.Message):
    __slots__ = ("number", "time", "kind", "state", "reason", "message", "actor")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: _timestamp_pb2.Timestamp
    kind: str
    state: Pipeline.State
    reason: str
    message: str
    actor: str
    def __init__(self, number: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[Pipeline.State, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...
