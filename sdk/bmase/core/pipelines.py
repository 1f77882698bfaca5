"""Calls of `bmase.trainer.v1.PipelineService`, and when a pipeline has come to its end."""

from __future__ import annotations

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.core.registry import new_request_id
from bmase.trainer.v1 import pipeline_pb2 as pb

SERVICE = "/bmase.trainer.v1.PipelineService/"
State = pb.Pipeline.State

OVER = frozenset(
    {
        State.STATE_SUCCEEDED,
        State.STATE_GATE_FAILED,
        State.STATE_ROLLED_BACK,
        State.STATE_FAILED,
        State.STATE_CANCELLED,
    }
)


def create(plan: pb.PipelinePlan, message: str) -> Call[pb.Pipeline]:
    """A pipeline on its way; `follow` tells how it goes."""
    request = pb.CreatePipelineRequest(plan=plan, message=message, request_id=new_request_id())
    return Call(SERVICE + "CreatePipeline", request, pb.Pipeline)


def get(pipeline: str) -> Call[pb.Pipeline]:
    """One pipeline."""
    return Call(SERVICE + "GetPipeline", pb.GetPipelineRequest(name=names.pipeline(pipeline)), pb.Pipeline)


def list_all(where: str, page_size: int) -> Listing[pb.Pipeline]:
    """Pipelines that match a filter, latest first."""

    def page(token: str) -> Call[pb.ListPipelinesResponse]:
        request = pb.ListPipelinesRequest(filter=where, page_size=page_size, page_token=token)
        return Call(SERVICE + "ListPipelines", request, pb.ListPipelinesResponse)

    return Listing(page, "pipelines")


def cancel(pipeline: str, message: str) -> Call[pb.Pipeline]:
    """It is not to go on; what runs is stopped."""
    request = pb.CancelPipelineRequest(name=names.pipeline(pipeline), message=message)
    return Call(SERVICE + "CancelPipeline", request, pb.Pipeline)


def follow(pipeline: str) -> Watch[pb.Pipeline]:
    """The pipeline now and at each change, until it is over."""
    request = pb.WatchPipelinesRequest(name=names.pipeline(pipeline))
    return Watch(Call(SERVICE + "WatchPipelines", request, pb.Pipeline, None), over=is_over)


def follow_all(model: str | None) -> Watch[pb.Pipeline]:
    """All that have not ended, and each as it changes and ends."""
    request = pb.WatchPipelinesRequest(model=names.model(model) if model else "")
    return Watch(Call(SERVICE + "WatchPipelines", request, pb.Pipeline, None))


def events(pipeline: str, page_size: int) -> Listing[pb.PipelineEvent]:
    """Everything that became of it, in order."""

    def page(token: str) -> Call[pb.ListPipelineEventsResponse]:
        request = pb.ListPipelineEventsRequest(name=names.pipeline(pipeline), page_size=page_size, page_token=token)
        return Call(SERVICE + "ListPipelineEvents", request, pb.ListPipelineEventsResponse)

    return Listing(page, "events")


def is_over(pipeline: pb.Pipeline) -> bool:
    """Whether it has come to its end."""
    return pipeline.state in OVER


def is_good(pipeline: pb.Pipeline) -> bool:
    """Whether it has come to the end that was wished for."""
    return pipeline.state == State.STATE_SUCCEEDED
