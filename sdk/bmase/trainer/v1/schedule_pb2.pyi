import datetime

from bmase.trainer.v1 import pipeline_pb2 as _pipeline_pb2
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

class Schedule(_message.Message):
    __slots__ = ("name", "plan", "cron", "data", "drift", "manual", "overlap", "paused", "model", "message", "created_by", "paused_by", "next_times", "active_pipelines", "queue", "create_time", "etag")
    class Overlap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OVERLAP_UNSPECIFIED: _ClassVar[Schedule.Overlap]
        OVERLAP_SKIP: _ClassVar[Schedule.Overlap]
        OVERLAP_QUEUE: _ClassVar[Schedule.Overlap]
        OVERLAP_CANCEL: _ClassVar[Schedule.Overlap]
    OVERLAP_UNSPECIFIED: Schedule.Overlap
    OVERLAP_SKIP: Schedule.Overlap
    OVERLAP_QUEUE: Schedule.Overlap
    OVERLAP_CANCEL: Schedule.Overlap
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    NEXT_TIMES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_PIPELINES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    plan: _pipeline_pb2.PipelinePlan
    cron: CronTrigger
    data: DataTrigger
    drift: DriftTrigger
    manual: ManualTrigger
    overlap: Schedule.Overlap
    paused: bool
    model: str
    message: str
    created_by: str
    paused_by: str
    next_times: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    active_pipelines: _containers.RepeatedScalarFieldContainer[str]
    queue: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., plan: _Optional[_Union[_pipeline_pb2.PipelinePlan, _Mapping]] = ..., cron: _Optional[_Union[CronTrigger, _Mapping]] = ..., data: _Optional[_Union[DataTrigger, _Mapping]] = ..., drift: _Optional[_Union[DriftTrigger, _Mapping]] = ..., manual: _Optional[_Union[ManualTrigger, _Mapping]] = ..., overlap: _Optional[_Union[Schedule.Overlap, str]] = ..., paused: _Optional[bool] = ..., model: _Optional[str] = ..., message: _Optional[str] = ..., created_by: _Optional[str] = ..., paused_by: _Optional[str] = ..., next_times: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., active_pipelines: _Optional[_Iterable[str]] = ..., queue: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class CronTrigger(_message.Message):
    __slots__ = ("expression", "zone", "jitter", "catch_up", "limit")
    class CatchUp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CATCH_UP_UNSPECIFIED: _ClassVar[CronTrigger.CatchUp]
        CATCH_UP_NONE: _ClassVar[CronTrigger.CatchUp]
        CATCH_UP_LAST: _ClassVar[CronTrigger.CatchUp]
        CATCH_UP_ALL: _ClassVar[CronTrigger.CatchUp]
    CATCH_UP_UNSPECIFIED: CronTrigger.CatchUp
    CATCH_UP_NONE: CronTrigger.CatchUp
    CATCH_UP_LAST: CronTrigger.CatchUp
    CATCH_UP_ALL: CronTrigger.CatchUp
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    CATCH_UP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    expression: str
    zone: str
    jitter: _duration_pb2.Duration
    catch_up: CronTrigger.CatchUp
    limit: int
    def __init__(self, expression: _Optional[str] = ..., zone: _Optional[str] = ..., jitter: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., catch_up: _Optional[_Union[CronTrigger.CatchUp, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class DataTrigger(_message.Message):
    __slots__ = ("settle",)
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    settle: _duration_pb2.Duration
    def __init__(self, settle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DriftTrigger(_message.Message):
    __slots__ = ("version", "kinds", "cool_down")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    COOL_DOWN_FIELD_NUMBER: _ClassVar[int]
    version: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    cool_down: _duration_pb2.Duration
    def __init__(self, version: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., cool_down: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ManualTrigger(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateScheduleRequest(_message.Message):
    __slots__ = ("schedule", "request_id")
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    request_id: str
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetScheduleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class ListSchedulesResponse(_message.Message):
    __slots__ = ("schedules", "next_page_token")
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    schedules: _containers.RepeatedCompositeFieldContainer[Schedule]
    next_page_token: str
    def __init__(self, schedules: _Optional[_Iterable[_Union[Schedule, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateScheduleRequest(_message.Message):
    __slots__ = ("schedule", "update_fields")
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELDS_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    update_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ..., update_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteScheduleRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteScheduleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunScheduleRequest(_message.Message):
    __slots__ = ("name", "request_id", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    message: str
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RunScheduleResponse(_message.Message):
    __slots__ = ("schedule", "pipeline")
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    pipeline: str
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ..., pipeline: _Optional[str] = ...) -> None: ...

class ListScheduleFiresRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListScheduleFiresResponse(_message.Message):
    __slots__ = ("fires", "next_page_token")
    FIRES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    fires: _containers.RepeatedCompositeFieldContainer[ScheduleFire]
    next_page_token: str
    def __init__(self, fires: _Optional[_Iterable[_Union[ScheduleFire, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ScheduleFire(_message.Message):
    __slots__ = ("key", "due_time", "time", "outcome", "pipeline", "message")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ScheduleFire.Outcome]
        OUTCOME_STARTED: _ClassVar[ScheduleFire.Outcome]
        OUTCOME_QUEUED: _ClassVar[ScheduleFire.Outcome]
        OUTCOME_SKIPPED: _ClassVar[ScheduleFire.Outcome]
        OUTCOME_MISSED: _ClassVar[ScheduleFire.Outcome]
    OUTCOME_UNSPECIFIED: ScheduleFire.Outcome
    OUTCOME_STARTED: ScheduleFire.Outcome
    OUTCOME_QUEUED: ScheduleFire.Outcome
    OUTCOME_SKIPPED: ScheduleFire.Outcome
    OUTCOME_MISSED: ScheduleFire.Outcome
    KEY_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    key: str
    due_time: _timestamp_pb2.Timestamp
    time: _timestamp_pb2.Timestamp
    outcome: ScheduleFire.Outcome
    pipeline: str
    message: str
    def __init__(self, key: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[ScheduleFire.Outcome, str]] = ..., pipeline: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
