"""What pipelines ask of jobs, over one record in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.trainer.jobs import transitions as tr
from services.trainer.jobs.state import Job, Phase
from services.trainer.pipelines.jobs import RecordedJobs
from tests.unit.trainer.jobs.jobs import at

pytestmark = pytest.mark.anyio


class Records:
    def __init__(self, job: Job) -> None:
        self.job = job

    async def change(self, _id: str, change: Callable[[Job], Job]) -> Job:
        self.job = change(self.job)
        return self.job


async def after(job: Job) -> Job:
    """The job after its pipeline was stopped."""
    records: Any = Records(job)
    jobs = RecordedJobs(records, check=lambda _: None, create=lambda *_: pytest.fail("nothing is created"))
    await jobs.cancel(job.id, "pipelines/p", "no longer needed")
    return records.job  # type: ignore[no-any-return]


async def test_a_pipeline_that_is_stopped_stops_its_job_and_waits_for_one_that_can_no_longer_be() -> None:
    assert (await after(at(Phase.RUNNING))).stop is not None
    for job in (tr.committed(at(Phase.REGISTERING), 1, 6.0, 0), at(Phase.SUCCEEDED)):
        assert await after(job) == job
