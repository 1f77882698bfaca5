"""What a pipeline is asked to do: the job that makes the version, and how the version is brought to its users."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from bmase.patcher.v1 import release_pb2
from google.protobuf import json_format
from pydantic import AfterValidator, BaseModel, ConfigDict

from services.kit.decode import MAX_LABELS, refuse
from services.trainer.jobs.spec import Spec

MAX_POLICY = 16 * 2**10
PIPELINE_LABEL = "pipeline"  # of the job: by it the job is found again when the answer to its creation was lost


def _policy(value: dict[str, Any]) -> dict[str, Any]:
    """Only its form: what the values may be is the release's business."""
    try:
        message = json_format.ParseDict(_json(value), release_pb2.ReleasePolicy())
    except json_format.ParseError as error:
        raise refuse("release_policy", f"must be a release policy as JSON: {str(error)[:200]}") from error
    if message.ByteSize() > MAX_POLICY:
        raise refuse("release_policy", f"must have at most {MAX_POLICY} bytes")
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _json(value: Any) -> Any:
    """As decoding a message gives it, for protobuf's JSON."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.9f}s"
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


def _unlabelled(value: Spec) -> Spec:
    if PIPELINE_LABEL in value.labels or len(value.labels) >= MAX_LABELS:
        raise refuse("job", f"must not have the label {PIPELINE_LABEL!r}, and leave room for it: the pipeline sets it")
    return value


class Plan(BaseModel):
    """The whole wish. With `no_release` the pipeline ends with a registered version that nobody is sent to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: Annotated[Spec, AfterValidator(_unlabelled)]
    no_release: bool = False
    release_policy: Annotated[dict[str, Any], AfterValidator(_policy)] = {}

    @property
    def model(self) -> str:
        return self.job.model.model

    @property
    def policy(self) -> release_pb2.ReleasePolicy:
        """How the version is brought to its users, as a message."""
        return json_format.ParseDict(self.release_policy, release_pb2.ReleasePolicy())

    def job_for(self, pipeline: str) -> Spec:
        """What the job is created with."""
        return self.job.model_copy(update={"labels": {**self.job.labels, PIPELINE_LABEL: pipeline}})
