"""Calls of `bmase.trainer.v1.TrainerService`, jobs from plain values, and when one has come to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.core.registry import new_request_id
from bmase.trainer.v1 import trainer_pb2 as pb

SERVICE = "/bmase.trainer.v1.TrainerService/"
State = pb.Job.State

OVER = frozenset({State.STATE_SUCCEEDED, State.STATE_FAILED, State.STATE_CANCELLED})


def job(
    model: str,
    *,
    recipe: str = "",
    bundle: str = "",
    entry_point: str = "",
    data: Mapping[str, str | Sequence[str]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    gates: Sequence[str] = (),
    seed: int = 0,
    workers: int = 0,
    cpus: float = 0.0,
    memory_bytes: int = 0,
    gpus: int = 0,
    time_limit: timedelta | None = None,
    split: pb.SplitPolicy | None = None,
    snapshot: bool = False,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    owner: str = "",
    environment: str = "",
) -> pb.Job:
    """What is to be trained: a recipe's name, or the digest of a bundle and "module:function" in it.

    `data`: name -> one place or several; a path of this machine is made a file:// URI. `environment`: the digest of a
    lock, as `Client.upload` gives it; empty is the trainer's own environment.
    """
    resources = pb.Resources(workers=workers, cpus=cpus, memory_bytes=memory_bytes, gpus=gpus)
    if time_limit is not None:
        resources.time_limit.CopyFrom(_duration(time_limit))
    wanted = pb.Job(
        model=names.model(model),
        data=[_source(name, places, snapshot) for name, places in (data or {}).items()],
        parameters={name: ParseDict(value, Value()) for name, value in (parameters or {}).items()},
        gates=gates,
        seed=seed,
        resources=resources,
        labels=labels or {},
        priority=priority,
        owner=owner,
        environment_digest=environment,
    )
    if split is not None:
        wanted.split.CopyFrom(split)
    if bundle:
        wanted.bundle.CopyFrom(pb.CodeBundle(digest=bundle, entry_point=entry_point))
    else:
        wanted.recipe = recipe
    return wanted


def uri(place: str) -> str:
    """A path of this machine as a URI; what is one stays."""
    return place if "://" in place else Path(place).expanduser().resolve().as_uri()


def create(wanted: pb.Job) -> Call[pb.Job]:
    """A job on its way; `watch` tells how it goes."""
    return Call(SERVICE + "CreateJob", pb.CreateJobRequest(job=wanted, request_id=new_request_id()), pb.Job)


def get(name: str) -> Call[pb.Job]:
    """One job."""
    return Call(SERVICE + "GetJob", pb.GetJobRequest(name=names.job(name)), pb.Job)


def list_all(where: str, order_by: str, page_size: int) -> Listing[pb.Job]:
    """Jobs that match a filter, latest first."""

    def page(token: str) -> Call[pb.ListJobsResponse]:
        request = pb.ListJobsRequest(filter=where, order_by=order_by, page_size=page_size, page_token=token)
        return Call(SERVICE + "ListJobs", request, pb.ListJobsResponse)

    return Listing(page, "jobs")


def cancel(name: str, message: str) -> Call[pb.Job]:
    """Ends it."""
    return Call(SERVICE + "CancelJob", pb.CancelJobRequest(name=names.job(name), message=message), pb.Job)


def watch(name: str, from_offset: int, kinds: Sequence[pb.WatchJobRequest.Kind]) -> Watch[pb.JobEvent]:
    """What the job did and says, until it has ended."""
    wanted = {*kinds, pb.WatchJobRequest.KIND_STATE} if kinds else ()
    request = pb.WatchJobRequest(name=names.job(name), from_offset=from_offset, kinds=wanted)

    def again(call: Call[pb.JobEvent], event: pb.JobEvent) -> Call[pb.JobEvent]:
        next_ = pb.WatchJobRequest(name=request.name, from_offset=event.offset, kinds=wanted)
        return Call(call.path, next_, pb.JobEvent, None)

    call = Call(SERVICE + "WatchJob", request, pb.JobEvent, None)
    return Watch(call, again=again, over=lambda event: event.state.state in OVER, ends=True)


def metrics(name: str, metric: str, page_size: int) -> Listing[pb.MetricPoint]:
    """One series, or the last point of each."""

    def page(token: str) -> Call[pb.ListMetricsResponse]:
        request = pb.ListMetricsRequest(name=names.job(name), metric=metric, page_size=page_size, page_token=token)
        return Call(SERVICE + "ListMetrics", request, pb.ListMetricsResponse)

    return Listing(page, "points")


def is_over(seen: pb.Job) -> bool:
    """Whether it has come to its end."""
    return seen.state in OVER


def state_word(state: int) -> str:
    """The state as a word for people: `running`, `succeeded`, ..."""
    return State.Name(state).removeprefix("STATE_").lower().replace("_", " ")


def _source(name: str, places: str | Sequence[str], snapshot: bool) -> pb.DataSource:
    uris = [places] if isinstance(places, str) else places
    return pb.DataSource(name=name, uris=[uri(place) for place in uris], snapshot=snapshot)


def _duration(value: timedelta) -> Duration:
    found = Duration()
    found.FromTimedelta(value)
    return found
