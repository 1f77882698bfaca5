"""The bounds of the calls about pipelines; a plan's own are in `plan`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.kit.decode import CONTROL, ModelRef, PageSize, PageToken, RequestId, parse_model, refuse
from services.trainer.pipelines.plan import Plan

_NAME = re.compile(r"pipelines/([a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)")


def _pipeline(value: object) -> object:
    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refuse("pipeline_resource", "must be 'pipelines/{id}', as the pipeline was named when it was made")
    return found[1]


def _any_pipeline(value: object) -> object:
    return _pipeline(value) if value else ""


def _any_model(value: object) -> object:
    return parse_model(value) if isinstance(value, str) and value else None


def _sentence(value: str) -> str:
    if CONTROL.search(value):
        raise refuse("text", "must not contain control characters")
    return value


PipelineId = Annotated[str, BeforeValidator(_pipeline)]
Sentence = Annotated[str, Field(max_length=500), AfterValidator(_sentence)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Create(_Request):
    plan: Plan
    request_id: RequestId = ""
    message: Sentence = ""


class Named(_Request):
    """GetPipeline."""

    name: PipelineId


class List(_Request):
    page_size: PageSize = 0
    page_token: PageToken = ""
    filter: Annotated[str, Field(max_length=2000)] = ""


class Cancel(_Request):
    name: PipelineId
    message: Sentence = ""


class Watch(_Request):
    name: Annotated[str, BeforeValidator(_any_pipeline)] = ""
    model: Annotated[ModelRef | None, BeforeValidator(_any_model)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Watch:
        if self.name and self.model:
            raise refuse("model", "must not be given beside the name of a pipeline")
        return self


class ListEvents(_Request):
    name: PipelineId
    page_size: PageSize = 0
    page_token: PageToken = ""
