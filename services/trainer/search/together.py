"""What rank 0 has decided, known to all workers. Without others there is nothing to tell, and nothing is imported."""

from __future__ import annotations

import json
from typing import Any, Protocol

from bmase.training import Run


class Together(Protocol):
    """How workers agree; every one of them calls the same in the same order."""

    def decided(self, value: Any) -> Any:
        """Rank 0's value, of JSON; what the others give is not looked at."""

    def flag(self, value: bool) -> bool:
        """The same for yes or no, made to be asked at every step."""


class Alone:
    """One worker."""

    def decided(self, value: Any) -> Any:
        return value

    def flag(self, value: bool) -> bool:
        return value


class Group:
    """The workers of torch's process group, which whoever started them has made."""

    def decided(self, value: Any) -> Any:
        import torch  # noqa: PLC0415 - a worker alone may have no torch
        from torch import distributed  # noqa: PLC0415

        # Through a tensor of bytes: torch's own way for objects would unpickle what comes.
        first = distributed.get_rank() == 0
        content = json.dumps(value).encode() if first else b""
        size = torch.tensor([len(content)])
        distributed.broadcast(size, 0)
        told = torch.tensor(list(content), dtype=torch.uint8) if first else torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(told, 0)
        return value if first else json.loads(bytes(told.tolist()))

    def flag(self, value: bool) -> bool:
        import torch  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        told = torch.tensor([value])
        distributed.broadcast(told, 0)
        return bool(told)


def together(run: Run) -> Together:
    """How the workers of this run agree."""
    return Group() if run.world_size > 1 else Alone()
