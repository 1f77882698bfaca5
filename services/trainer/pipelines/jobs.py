"""What pipelines need of jobs, and that over their records."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.jobs import requests as rq
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Job
from services.trainer.pipelines.plan import PIPELINE_LABEL


class Jobs(Protocol):
    """Jobs as pipelines use them."""

    def check(self, spec: Spec) -> None:
        """Raises what `create` would: for plans that create their job much later."""

    async def create(self, spec: Spec, owner: str, request_id: str) -> Job:
        """The job that the request has made, or makes now."""

    async def cancel(self, job: str, actor: str, message: str) -> None:
        """Its processes are to go. Nothing when it has ended, or is about to with its version."""

    async def get(self, job: str) -> Job | None:
        """None: there is none."""

    async def of_pipeline(self, pipeline: str) -> Job | None:
        """The one that carries the pipeline's label."""


Check = Callable[[Spec], None]
Create = Callable[[JobRecords, Spec, str], Awaitable[Job]]


class RecordedJobs:
    """`check` and `create` are the servicer's; `changed` is called after a job was changed here."""

    def __init__(
        self, records: JobRecords, *, check: Check, create: Create, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._records = records
        self._check = check
        self._create = create
        self._changed = changed

    def check(self, spec: Spec) -> None:
        self._check(spec)

    async def create(self, spec: Spec, owner: str, request_id: str) -> Job:
        owned = spec.model_copy(update={"owner": spec.owner or owner})
        job = await self._create(self._records, owned, request_id)
        self._changed()
        return job

    async def cancel(self, job: str, actor: str, message: str) -> None:
        now = time.time()

        def change(kept: Job) -> Job:
            return kept if kept.final or kept.committed else tr.cancel(kept, now, actor, message)

        await self._records.change(job, change)
        self._changed()

    async def get(self, job: str) -> Job | None:
        try:
            return await self._records.get(job)
        except DomainError as error:
            if error.reason is not Reason.JOB_NOT_FOUND:
                raise
            return None

    async def of_pipeline(self, pipeline: str) -> Job | None:
        asked = rq.List(filter=f'labels.{PIPELINE_LABEL}="{pipeline}"', page_size=1)
        found, _ = await self._records.listed(asked)
        return found[0] if found else None
