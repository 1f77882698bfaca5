"""The bounds of the calls about jobs, declared once; a job's own are in `spec`."""

from __future__ import annotations

import re
from typing import Annotated

from bmase.trainer.v1 import trainer_pb2 as pb
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from services.kit.decode import CONTROL, PageSize, PageToken, RequestId, known_enum, refuse
from services.trainer.jobs.events import METRIC_RULE, Kind, is_metric
from services.trainer.jobs.spec import Spec

MAX_OFFSET = 2**63 - 1
KINDS = {
    pb.WatchJobRequest.KIND_STATE: Kind.STATE,
    pb.WatchJobRequest.KIND_PROGRESS: Kind.PROGRESS,
    pb.WatchJobRequest.KIND_METRICS: Kind.METRICS,
    pb.WatchJobRequest.KIND_LOG: Kind.LOG,
    pb.WatchJobRequest.KIND_CHECKPOINT: Kind.CHECKPOINT,
}

_NAME = re.compile(r"jobs/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)")


def _job(value: object) -> object:
    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refuse("job_resource", "must be 'jobs/{id}', as the job was named when it was made")
    return found[1]


def _metric(value: str) -> str:
    if value and not is_metric(value):
        raise refuse("metric", METRIC_RULE)
    return value


def _sentence(value: str) -> str:
    if CONTROL.search(value):
        raise refuse("text", "must not contain control characters")
    return value


JobId = Annotated[str, BeforeValidator(_job)]
Filter = Annotated[str, Field(max_length=2000)]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Create(_Request):
    job: Spec
    request_id: RequestId = ""


class Named(_Request):
    """GetJob."""

    name: JobId


class List(_Request):
    page_size: PageSize = 0
    page_token: PageToken = ""
    filter: Filter = ""
    order_by: Annotated[str, Field(max_length=100)] = ""


class Cancel(_Request):
    name: JobId
    message: Annotated[str, Field(max_length=500), AfterValidator(_sentence)] = ""


class WatchAll(_Request):
    """WatchJobs."""

    from_revision: Offset = 0
    filter: Filter = ""


class Watch(_Request):
    """WatchJob."""

    name: JobId
    from_offset: Offset = 0
    kinds: tuple[Annotated[int, known_enum(pb.WatchJobRequest.Kind)], ...] = Field(default=(), max_length=16)

    @property
    def wanted(self) -> frozenset[Kind]:
        """All of them when none is named."""
        return frozenset(KINDS[kind] for kind in self.kinds) or frozenset(Kind)  # type: ignore[index]


class ListMetrics(_Request):
    name: JobId
    metric: Annotated[str, AfterValidator(_metric)] = ""
    page_size: PageSize = 0
    page_token: PageToken = ""
