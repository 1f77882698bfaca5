"""One leader among equal processes, and writes that a former leader cannot make."""

from __future__ import annotations

from services.kit.leader.fencing import fenced_delete, fenced_put
from services.kit.leader.leadership import Leadership
from services.kit.leader.lease import Lease

__all__ = ["Leadership", "Lease", "fenced_delete", "fenced_put"]
