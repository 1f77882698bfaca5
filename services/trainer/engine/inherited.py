"""What processes of jobs get of the trainer's environment: they run code of others, so none of its own settings."""

from __future__ import annotations

import os

from services.trainer import environments

OURS = "BMASE_"
# The suite's mark, by which its processes are found, and what reproductions look for.
TOLD = frozenset({"BMASE_SUITE_ID", environments.FOLDER, environments.DAYS, "BMASE_TRAINER_SNAPSHOTS"})


def environment() -> dict[str, str]:
    """Without addresses, database URLs and tokens of ours; credentials of data (AWS_*, HADOOP_*) stay."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS) or name in TOLD}
