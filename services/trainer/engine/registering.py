"""From a job's product and its evidence to a version."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from bmase import sources
from bmase.monitor.v1 import monitor_pb2
from bmase.monitor.v1.monitor_pb2_grpc import MonitorServiceStub
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf import json_format

from services.trainer.engine import packing
from services.trainer.engine.blobs import Blobs, by_digest
from services.trainer.engine.registry import CALL_SECONDS, NewVersion, Registry
from services.trainer.jobs.state import Job
from services.trainer.reproduce.record import Record

log = structlog.get_logger(__name__)

PAPERS = "evidence"  # the folder of everything that is only kept
EVALUATION, RECORD, REFERENCE = "evaluation.json", "record.json", "reference.pb"
_SOURCES = {"import": "import", "ensemble": "ensemble"}  # of a lineage; everything else is trained
MOST_METRICS = 256

Commit = Callable[[], Awaitable[None]]  # raises when there is to be no version


@dataclass(frozen=True)
class Made:
    """A job's product and evidence, unpacked."""

    folder: Path
    evidence: Path

    @property
    def files(self) -> list[sources.Source]:
        """What is served, as `bmase push` would lay it out, and what is only kept."""
        product = packing.unpacked(self.folder)
        served = sources.collect([product.folder])
        # How it is asked and judged: what works on versions later has to know which columns feed its tensors.
        papers = {**product.evidence, packing.PRODUCT: self.folder / packing.PRODUCT}
        found = sorted(path for path in self.evidence.rglob("*") if path.is_file() and path.name != REFERENCE)
        papers |= {path.relative_to(self.evidence).as_posix(): path for path in found}
        return served + [
            sources.Source(path, f"{PAPERS}/{name}", pb.File.ROLE_EVIDENCE) for name, path in sorted(papers.items())
        ]


class Registering:
    """The last stage of a job; may be repeated."""

    def __init__(self, registry: Registry, monitor: grpc.aio.Channel, blobs: str) -> None:
        self._registry, self._blobs = registry, Blobs(blobs)
        self._monitor = MonitorServiceStub(monitor)

    async def register(self, job: Job, below: Path, parent: int, commit: Commit) -> int:
        """The version's number; what is needed meanwhile is kept in a folder of its own below `below`.

        `commit` is called when all files are there, just before the registry is asked for the version.
        """
        await asyncio.to_thread(below.mkdir, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="register-", dir=below) as folder:
            made = await asyncio.to_thread(self._bring, job, Path(folder))
            # The registry answers what it was asked before for some days only.
            known = await self._registry.made_by(job.model, job.name) if job.committed else 0
            number = known or await self._made(job, made, parent, commit)
            await self._refer(job, number, made.evidence / REFERENCE)
            return number

    async def _made(self, job: Job, made: Made, parent: int, commit: Commit) -> int:
        files = await asyncio.to_thread(lambda: made.files)
        new = _new(job, made, parent)
        stored = await self._registry.put(files)
        await commit()
        return await self._registry.create(new, stored)

    def _bring(self, job: Job, folder: Path) -> Made:
        made = Made(folder / "product", folder / "evidence")
        for what, target in (("product", made.folder), ("evidence", made.evidence)):
            packed = folder / f"{what}.tar"
            self._blobs.copy(by_digest(f"jobs/{job.id}/{what}-", job.product), packed)
            packing.unpack(packed, target)
            packed.unlink()
        return made

    async def _refer(self, job: Job, number: int, file: Path) -> None:
        """Best effort: a version without a reference is served all the same, and the monitor may be down."""
        content = await asyncio.to_thread(_content, file)
        if not content:
            return
        request = monitor_pb2.PutReferenceRequest.FromString(content)
        request.name = f"models/{job.model}/versions/{number}"
        try:
            await self._monitor.PutReference(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("no_reference", version=request.name, code=error.code().name, details=error.details())


def _content(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def _new(job: Job, made: Made, parent: int) -> NewVersion:
    record = Record.from_json((made.evidence / RECORD).read_text())
    parameters = pb.Lineage().parameters
    json_format.ParseDict(dict(record.parameters), parameters)
    digests = [each.manifest.digest for _, each in sorted(record.data.items())]
    lineage = pb.Lineage(
        source=_SOURCES.get(job.spec.recipe, "train"),
        job=job.name,
        data_digest=digests[0] if digests else "",
        code_digest=record.code.digest,
        environment_digest=record.environment.digest,
        parent_version=f"models/{job.model}/versions/{parent}" if parent else "",
        seed=job.spec.seed,
        parameters=parameters,
        author=job.owner,
    )
    words = packing.unpacked(made.folder).description or f"made by {job.spec.code}"
    return NewVersion(job.model, words, _labels(job), lineage, _metrics(made), f"{job.id}-version")


def _labels(job: Job) -> Mapping[str, str]:
    """What a release asks for before it sends anybody there."""
    return (
        {**job.spec.labels, "gate": "failed"} if any(g.outcome.name == "FAILED" for g in job.gates) else job.spec.labels
    )


def _metrics(made: Made) -> Mapping[str, float]:
    file = made.evidence / EVALUATION
    if not file.exists():
        return {}
    estimates = json.loads(file.read_bytes())["estimates"]
    return {each["metric"]: float(each["value"]) for each in estimates[:MOST_METRICS]}
