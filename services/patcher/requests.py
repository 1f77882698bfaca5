"""The bounds of requests, declared once."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, NamedTuple

from bmase.reasons import Reason
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from services.kit.decode import MODEL_NAME_RULE, ModelName, ModelRef, PageSize, PageToken, RequestId, parse_model
from services.kit.errors import DomainError

MAX_REPLICAS = 100
MAX_VERSION = 2**31 - 1

_MODEL = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"models/({_MODEL})/deployments/([1-9][0-9]{{0,9}})")
_TO_CREATE = re.compile(rf"models/({_MODEL})/deployments/([1-9][0-9]{{0,9}}|[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?)")
_NODE = re.compile(rf"nodes/({_MODEL})")


class DeploymentRef(NamedTuple):
    """`models/{model}/deployments/{version}`; to create, the version may be an alias."""

    model: str
    version: str

    @property
    def key(self) -> tuple[str, int]:
        return (self.model, int(self.version))


def _refused(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _deployment(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    def parse(value: object) -> object:
        found = pattern.fullmatch(value) if isinstance(value, str) else None
        if found is None or (found[2].isdecimal() and int(found[2]) > MAX_VERSION):
            text = f"must be 'models/{{model}}/deployments/{{n}}' with {what}; the model {MODEL_NAME_RULE}"
            raise _refused("deployment_resource", text)
        return DeploymentRef(found[1], found[2])

    return BeforeValidator(parse)


def _node(value: object) -> object:
    found = _NODE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refused("node_resource", f"must be 'nodes/{{node}}'; the node {MODEL_NAME_RULE}")
    return found[1]


def _optional_model(value: object) -> object:
    return parse_model(value) if isinstance(value, str) and value else None


Existing = Annotated[DeploymentRef, _deployment(_NAME, "n from 1 to 2147483647")]
ToCreate = Annotated[DeploymentRef, _deployment(_TO_CREATE, 'n a version\'s number, an alias or "latest"')]
NodeName = Annotated[str, BeforeValidator(_node)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NewDeployment(_Request):
    """What may be asked of a new deployment; everything else in the message is output only."""

    name: ToCreate
    replicas: int = Field(default=0, ge=0, le=MAX_REPLICAS)
    pool: ModelName | Annotated[str, Field(max_length=0)] = ""
    memory_bytes: int = Field(default=0, ge=0, le=2**50)


class Create(_Request):
    deployment: NewDeployment
    request_id: RequestId = ""
    no_route: bool = False


class Named(_Request):
    """Get and Watch."""

    name: Existing


class List(_Request):
    model: Annotated[ModelRef | None, BeforeValidator(_optional_model)] = None
    page_size: PageSize = 0
    page_token: PageToken = ""


class Scale(_Request):
    name: Existing
    replicas: int = Field(ge=1, le=MAX_REPLICAS)


class Delete(_Request):
    name: Existing
    force: bool = False


class ListNodes(_Request):
    pool: str = Field(default="", max_length=63)


class OneNode(_Request):
    name: NodeName


def page_token(key: tuple[str, int]) -> str:
    """A token that names the last row of a page, so it stays right while rows come and go."""
    return base64.urlsafe_b64encode(f"{key[0]}/{key[1]}".encode()).decode()


def page_start(token: str) -> tuple[str, int]:
    """The row after which the page begins."""
    if not token:
        return ("", 0)
    try:
        model, version = base64.urlsafe_b64decode(token.encode()).decode().split("/")
        return (model, int(version))
    except (binascii.Error, ValueError) as error:
        message = "the page_token was not given by this list; leave it empty to begin anew"
        raise DomainError(Reason.PAGE_TOKEN_INVALID, message, field="page_token") from error
