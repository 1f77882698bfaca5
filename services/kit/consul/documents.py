"""JSON documents in Consul: how every service reads and writes them, and under which keys they lie.

Readers ignore fields that they do not know, so that one side can be upgraded first.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

ROUTES = "bmase/routes/"
PLACEMENTS = "bmase/placements/"
NODES = "bmase/nodes/"
GATEWAYS = "bmase/gateways/"
CAPTURES = "bmase/captures/"


class Document(BaseModel):
    """One JSON value in Consul; never changed in place."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def encode(self) -> bytes:
        """For Consul."""
        return self.model_dump_json().encode()


DocumentT = TypeVar("DocumentT", bound=Document)


def read(kind: type[DocumentT], raw: bytes) -> DocumentT | None:
    """The document, or None when it is not one: a stray value in Consul must not stop a loop."""
    try:
        return kind.model_validate_json(raw)
    except ValidationError:
        return None
