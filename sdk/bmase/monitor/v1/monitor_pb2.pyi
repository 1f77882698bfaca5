import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from bmase.monitor.v1 import evidence_pb2 as _evidence_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Comparison(_message.Message):
    __slots__ = ("name", "model", "stable", "candidate", "policy", "state", "evidence", "start_time", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Comparison.State]
        STATE_RUNNING: _ClassVar[Comparison.State]
        STATE_ENDED: _ClassVar[Comparison.State]
    STATE_UNSPECIFIED: Comparison.State
    STATE_RUNNING: Comparison.State
    STATE_ENDED: Comparison.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    stable: int
    candidate: int
    policy: _evidence_pb2.JudgePolicy
    state: Comparison.State
    evidence: _evidence_pb2.Evidence
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., stable: _Optional[int] = ..., candidate: _Optional[int] = ..., policy: _Optional[_Union[_evidence_pb2.JudgePolicy, _Mapping]] = ..., state: _Optional[_Union[Comparison.State, str]] = ..., evidence: _Optional[_Union[_evidence_pb2.Evidence, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StartComparisonRequest(_message.Message):
    __slots__ = ("comparison",)
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    comparison: Comparison
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class GetComparisonRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListComparisonsRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListComparisonsResponse(_message.Message):
    __slots__ = ("comparisons", "next_page_token")
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    comparisons: _containers.RepeatedCompositeFieldContainer[Comparison]
    next_page_token: str
    def __init__(self, comparisons: _Optional[_Iterable[_Union[Comparison, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchComparisonRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class EndComparisonRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReplaySamplesRequest(_message.Message):
    __slots__ = ("model", "stable", "candidate", "count", "tolerance")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    stable: int
    candidate: int
    count: int
    tolerance: float
    def __init__(self, model: _Optional[str] = ..., stable: _Optional[int] = ..., candidate: _Optional[int] = ..., count: _Optional[int] = ..., tolerance: _Optional[float] = ...) -> None: ...

class ReplaySamplesResponse(_message.Message):
    __slots__ = ("done", "total", "disagreed", "candidate_failed", "stable_failed", "stable_p50_ms", "candidate_p50_ms", "stable_p99_ms", "candidate_p99_ms", "disagreement_low", "disagreement_high", "examples")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DISAGREED_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FAILED_FIELD_NUMBER: _ClassVar[int]
    STABLE_FAILED_FIELD_NUMBER: _ClassVar[int]
    STABLE_P50_MS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_P50_MS_FIELD_NUMBER: _ClassVar[int]
    STABLE_P99_MS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_P99_MS_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_LOW_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_HIGH_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    disagreed: int
    candidate_failed: int
    stable_failed: int
    stable_p50_ms: float
    candidate_p50_ms: float
    stable_p99_ms: float
    candidate_p99_ms: float
    disagreement_low: float
    disagreement_high: float
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., disagreed: _Optional[int] = ..., candidate_failed: _Optional[int] = ..., stable_failed: _Optional[int] = ..., stable_p50_ms: _Optional[float] = ..., candidate_p50_ms: _Optional[float] = ..., stable_p99_ms: _Optional[float] = ..., candidate_p99_ms: _Optional[float] = ..., disagreement_low: _Optional[float] = ..., disagreement_high: _Optional[float] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class Capture(_message.Message):
    __slots__ = ("name", "percent", "opt_out", "redacted", "retention", "max_bytes", "label_output", "sampled", "dropped", "stored_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    OPT_OUT_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABEL_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    percent: float
    opt_out: bool
    redacted: _containers.RepeatedScalarFieldContainer[str]
    retention: _duration_pb2.Duration
    max_bytes: int
    label_output: str
    sampled: int
    dropped: int
    stored_bytes: int
    def __init__(self, name: _Optional[str] = ..., percent: _Optional[float] = ..., opt_out: _Optional[bool] = ..., redacted: _Optional[_Iterable[str]] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_bytes: _Optional[int] = ..., label_output: _Optional[str] = ..., sampled: _Optional[int] = ..., dropped: _Optional[int] = ..., stored_bytes: _Optional[int] = ...) -> None: ...

class GetCaptureRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UpdateCaptureRequest(_message.Message):
    __slots__ = ("capture",)
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    capture: Capture
    def __init__(self, capture: _Optional[_Union[Capture, _Mapping]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("name", "model", "version", "request_id", "client", "time", "status", "duration_ms", "inputs", "outputs", "prediction", "outcome")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    version: int
    request_id: str
    client: str
    time: _timestamp_pb2.Timestamp
    status: str
    duration_ms: float
    inputs: _containers.RepeatedCompositeFieldContainer[TensorValue]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorValue]
    prediction: str
    outcome: Outcome
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., request_id: _Optional[str] = ..., client: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ..., duration_ms: _Optional[float] = ..., inputs: _Optional[_Iterable[_Union[TensorValue, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[TensorValue, _Mapping]]] = ..., prediction: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class TensorValue(_message.Message):
    __slots__ = ("name", "datatype", "shape", "values", "truncated", "redacted")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    truncated: bool
    redacted: bool
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[str]] = ..., truncated: _Optional[bool] = ..., redacted: _Optional[bool] = ...) -> None: ...

class ListSamplesRequest(_message.Message):
    __slots__ = ("model", "version", "wrong", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    wrong: bool
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., wrong: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSamplesResponse(_message.Message):
    __slots__ = ("samples", "next_page_token")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    next_page_token: str
    def __init__(self, samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("request_id", "label", "score", "time", "version", "prediction")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    label: str
    score: float
    time: _timestamp_pb2.Timestamp
    version: int
    prediction: str
    def __init__(self, request_id: _Optional[str] = ..., label: _Optional[str] = ..., score: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., prediction: _Optional[str] = ...) -> None: ...

class ReportOutcomesRequest(_message.Message):
    __slots__ = ("model", "outcomes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    model: str
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, model: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class ReportOutcomesResponse(_message.Message):
    __slots__ = ("joined", "waiting", "repeated")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    joined: int
    waiting: int
    repeated: int
    def __init__(self, joined: _Optional[int] = ..., waiting: _Optional[int] = ..., repeated: _Optional[int] = ...) -> None: ...

class PutReferenceRequest(_message.Message):
    __slots__ = ("name", "inputs", "outputs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    inputs: _containers.RepeatedCompositeFieldContainer[ReferenceTensor]
    outputs: _containers.RepeatedCompositeFieldContainer[ReferenceTensor]
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[ReferenceTensor, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[ReferenceTensor, _Mapping]]] = ...) -> None: ...

class ReferenceTensor(_message.Message):
    __slots__ = ("name", "datatype", "shape", "raw")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    raw: bytes
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., raw: _Optional[bytes] = ...) -> None: ...

class Reference(_message.Message):
    __slots__ = ("name", "rows", "features", "digest", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    rows: int
    features: int
    digest: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., rows: _Optional[int] = ..., features: _Optional[int] = ..., digest: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetDriftRequest(_message.Message):
    __slots__ = ("name", "limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    limit: int
    def __init__(self, name: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class DriftReport(_message.Message):
    __slots__ = ("name", "has_reference", "rows", "window_start", "features", "quality", "alpha", "summary", "features_total", "features_drifted")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HAS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    FEATURES_DRIFTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    has_reference: bool
    rows: int
    window_start: _timestamp_pb2.Timestamp
    features: _containers.RepeatedCompositeFieldContainer[FeatureDrift]
    quality: _containers.RepeatedCompositeFieldContainer[Quality]
    alpha: float
    summary: str
    features_total: int
    features_drifted: int
    def __init__(self, name: _Optional[str] = ..., has_reference: _Optional[bool] = ..., rows: _Optional[int] = ..., window_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., features: _Optional[_Iterable[_Union[FeatureDrift, _Mapping]]] = ..., quality: _Optional[_Iterable[_Union[Quality, _Mapping]]] = ..., alpha: _Optional[float] = ..., summary: _Optional[str] = ..., features_total: _Optional[int] = ..., features_drifted: _Optional[int] = ...) -> None: ...

class FeatureDrift(_message.Message):
    __slots__ = ("feature", "drifted", "ks", "psi", "js", "threshold", "rows", "reference_quantiles", "live_quantiles", "reference_shares", "live_shares")
    class ReferenceSharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class LiveSharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    DRIFTED_FIELD_NUMBER: _ClassVar[int]
    KS_FIELD_NUMBER: _ClassVar[int]
    PSI_FIELD_NUMBER: _ClassVar[int]
    JS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    LIVE_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SHARES_FIELD_NUMBER: _ClassVar[int]
    LIVE_SHARES_FIELD_NUMBER: _ClassVar[int]
    feature: str
    drifted: bool
    ks: float
    psi: float
    js: float
    threshold: float
    rows: int
    reference_quantiles: _containers.RepeatedScalarFieldContainer[float]
    live_quantiles: _containers.RepeatedScalarFieldContainer[float]
    reference_shares: _containers.ScalarMap[str, float]
    live_shares: _containers.ScalarMap[str, float]
    def __init__(self, feature: _Optional[str] = ..., drifted: _Optional[bool] = ..., ks: _Optional[float] = ..., psi: _Optional[float] = ..., js: _Optional[float] = ..., threshold: _Optional[float] = ..., rows: _Optional[int] = ..., reference_quantiles: _Optional[_Iterable[float]] = ..., live_quantiles: _Optional[_Iterable[float]] = ..., reference_shares: _Optional[_Mapping[str, float]] = ..., live_shares: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("feature", "rows", "missing", "infinite", "out_of_range", "new_categories")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    INFINITE_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_FIELD_NUMBER: _ClassVar[int]
    NEW_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    feature: str
    rows: int
    missing: int
    infinite: int
    out_of_range: int
    new_categories: int
    def __init__(self, feature: _Optional[str] = ..., rows: _Optional[int] = ..., missing: _Optional[int] = ..., infinite: _Optional[int] = ..., out_of_range: _Optional[int] = ..., new_categories: _Optional[int] = ...) -> None: ...

class CompareVersionsRequest(_message.Message):
    __slots__ = ("model", "stable", "candidate")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    model: str
    stable: int
    candidate: int
    def __init__(self, model: _Optional[str] = ..., stable: _Optional[int] = ..., candidate: _Optional[int] = ...) -> None: ...

class VersionComparison(_message.Message):
    __slots__ = ("model", "stable", "candidate", "outputs")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    stable: _evidence_pb2.Arm
    candidate: _evidence_pb2.Arm
    outputs: _containers.RepeatedCompositeFieldContainer[FeatureDrift]
    def __init__(self, model: _Optional[str] = ..., stable: _Optional[_Union[_evidence_pb2.Arm, _Mapping]] = ..., candidate: _Optional[_Union[_evidence_pb2.Arm, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[FeatureDrift, _Mapping]]] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("model", "all", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    all: bool
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., all: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts", "next_page_token")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    next_page_token: str
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("name", "model", "version", "kind", "feature", "message", "state", "open_time", "update_time", "acknowledged_by", "effect")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Alert.State]
        STATE_OPEN: _ClassVar[Alert.State]
        STATE_ACKNOWLEDGED: _ClassVar[Alert.State]
        STATE_RESOLVED: _ClassVar[Alert.State]
    STATE_UNSPECIFIED: Alert.State
    STATE_OPEN: Alert.State
    STATE_ACKNOWLEDGED: Alert.State
    STATE_RESOLVED: Alert.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    version: int
    kind: str
    feature: str
    message: str
    state: Alert.State
    open_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    acknowledged_by: str
    effect: float
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., kind: _Optional[str] = ..., feature: _Optional[str] = ..., message: _Optional[str] = ..., state: _Optional[_Union[Alert.State, str]] = ..., open_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_by: _Optional[str] = ..., effect: _Optional[float] = ...) -> None: ...

class AcknowledgeAlertRequest(_message.Message):
    __slots__ = ("name", "by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    by: str
    def __init__(self, name: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ResolveAlertRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchAlertsRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...
