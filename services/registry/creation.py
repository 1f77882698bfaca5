"""Making a version: from uploaded artefacts to an immutable, numbered row that watchers hear of.

Everything slow (reading model files, storing the small files that the registry writes) happens before the transaction.
The configuration names the version's number, so the number is guessed first and the transaction checks that the guess
holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf.json_format import ParseDict
from sqlalchemy import select, update

from services.kit.database import Database
from services.kit.decode import VersionRef
from services.kit.errors import DomainError, InvalidArgument, Violation
from services.registry import answers, content, models, requests, rows, samples, tables, tritonconfig, versions
from services.registry.artefacts import Artefacts, not_found
from services.registry.content import CONFIG, SAMPLE, File
from services.registry.inspection import Inspected, Inspection
from services.registry.journal import Journal, Kind, Turn
from services.registry.labels import labels_column
from services.registry.signature import Signature, Tensor
from services.registry.tritonconfig import CONFIG_PATH, Serving
from services.registry.versioninput import LineageInput

# Another version of the same model may take the number meanwhile; more often than this in a row means something is
# wrong.
ATTEMPTS = 50
LAST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that lacks only its number; `message` holds what never changes of it."""

    asked: requests.CreateVersion
    fingerprint: str
    inspected: Inspected
    files: tuple[File, ...]
    digest: str


class Creation:
    """CreateVersion."""

    def __init__(self, database: Database, journal: Journal, artefacts: Artefacts, inspection: Inspection) -> None:
        self._database = database
        self._journal = journal
        self._artefacts = artefacts
        self._inspection = inspection

    async def create(self, asked: requests.CreateVersion, given: Sequence[pb.Sample], fingerprint: str) -> pb.Version:
        """See the contract. Repeated with its request id it answers as the first time."""
        known = await self._prepared(asked, fingerprint)
        if known is not None:
            return known
        draft = await self._draft(asked, given, fingerprint)
        for _ in range(ATTEMPTS):
            number = await self._next_number(draft)
            config = await self._artefacts.put_bytes(
                tritonconfig.for_version(draft.inspected.config, asked.parent.model, number)
            )
            numbered = replace(draft, files=(*draft.files, File(CONFIG_PATH, config.digest, CONFIG, config.size)))
            made = await self._journal.change(lambda turn, n=number, d=numbered: _insert(turn, n, d))  # type: ignore[misc]
            if made is not None:
                return made
        raise DomainError(Reason.STORE_UNAVAILABLE, "too many versions of this model are made at once; try again")

    async def _prepared(self, asked: requests.CreateVersion, fingerprint: str) -> pb.Version | None:
        """The first answer; else refuses early what the transaction would refuse late."""
        async with self._database.read() as session:
            known = await answers.first_answer(session, asked.request_id, fingerprint, pb.Version)
            if known is None and not asked.create_model:
                await rows.model_row(session, asked.parent.model)
        return known

    async def _draft(self, asked: requests.CreateVersion, given: Sequence[pb.Sample], fingerprint: str) -> Draft:
        stored = await self._artefacts.claim(file.digest for file in asked.version.files)
        for index, file in enumerate(asked.version.files):
            if file.digest not in stored:
                raise not_found(file.digest, f"version.files[{index}].digest")
        made = await self._inspection.inspect(asked.parent.model, asked.version, stored)
        for index, sample in enumerate(given):
            samples.check(sample, made.signature, made.serving.max_batch_size or 0, f"samples[{index}]")
        files = [file for file in made.files if file.role != CONFIG]
        files += [await self._sample(index, sample, files) for index, sample in enumerate(given)]
        unbound = File(CONFIG_PATH, content.sha256(tritonconfig.for_version(made.config, "", 0)), CONFIG)
        digest = content.version_digest([*files, unbound], made.signature, made.serving)
        return Draft(asked, fingerprint, made, tuple(files), digest)

    async def _sample(self, index: int, sample: pb.Sample, files: Sequence[File]) -> File:
        path = f"samples/{index + 1}.pb"
        if any(file.path == path for file in files):
            raise InvalidArgument([Violation("version.files", f"{path!r} is where the registry puts a given sample")])
        stored = await self._artefacts.put_bytes(sample.SerializeToString(deterministic=True))
        return File(path, stored.digest, SAMPLE, stored.size)

    async def _next_number(self, draft: Draft) -> int:
        name = draft.asked.parent.model
        async with self._database.read() as session:
            await versions.refuse_equal(session, name, draft.digest)
            number = await session.scalar(select(tables.models.c.next_number).where(tables.models.c.name == name))
            if number is None:
                retired = tables.retired_models
                number = await session.scalar(select(retired.c.next_number).where(retired.c.name == name))
        return number or 1


async def _insert(turn: Turn, number: int, draft: Draft) -> pb.Version | None:
    """The version, or None when its number is taken."""
    asked, name = draft.asked, draft.asked.parent.model
    known = await answers.first_answer(turn.session, asked.request_id, draft.fingerprint, pb.Version)
    if known is not None:
        return known
    if await _number(turn, asked) != number:
        return None
    await versions.refuse_equal(turn.session, name, draft.digest)
    await _write(turn, VersionRef(name, number), draft)
    await models.refreshed(turn, name, next_number=number + 1)
    made = await rows.version_message(turn.session, VersionRef(name, number))
    await turn.record(Kind.KIND_VERSION_PUT, await rows.model_message(turn.session, name), made)
    await answers.keep(turn.session, asked.request_id, draft.fingerprint, made)
    return made


async def _number(turn: Turn, asked: requests.CreateVersion) -> int:
    name = asked.parent.model
    exists = await turn.session.scalar(select(tables.models.c.name).where(tables.models.c.name == name))
    if exists is None and asked.create_model:
        await models.insert(turn, name, "", {})
    number = int((await rows.model_row(turn.session, name)).next_number)
    if number > LAST_NUMBER:
        raise DomainError(Reason.NO_CAPACITY, f"the model {name!r} has used all {LAST_NUMBER} version numbers")
    return number


async def _write(turn: Turn, ref: VersionRef, draft: Draft) -> None:
    version = draft.asked.version
    mine: dict[str, str | int] = {"model": ref.model, "number": ref.version}
    values = {
        **mine,
        "description": version.description,
        "labels": labels_column(version.labels),
        "format": draft.inspected.format,
        "digest": draft.digest,
        "document": _document(draft).SerializeToString(),
        "create_time": turn.now,
    }
    await turn.session.execute(tables.versions.insert().values(values))
    await models.put_labels(turn.session, tables.version_labels, mine, version.labels)
    await models.put_labels(turn.session, tables.version_lineage, mine, _searchable(version.lineage))
    await models.put_labels(turn.session, tables.version_metrics, mine, version.metrics)
    await _write_files(turn, mine, draft.files)


async def _write_files(turn: Turn, mine: dict[str, str | int], files: Sequence[File]) -> None:
    """The artefacts are locked first: one that garbage collection takes at this moment is missed here, and nothing is
    made.
    """
    digests = sorted({file.digest for file in files})
    artefacts = tables.artefacts
    await turn.session.execute(update(artefacts).where(artefacts.c.digest.in_(digests)).values(touch_time=turn.now))
    there = set(await turn.session.scalars(select(artefacts.c.digest).where(artefacts.c.digest.in_(digests))))
    for index, file in enumerate(files):
        if file.digest not in there:
            raise not_found(file.digest, f"version.files[{index}].digest")
    entries = [{**mine, "path": file.path, "digest": file.digest} for file in files]
    await turn.session.execute(tables.version_files.insert(), entries)


def _searchable(lineage: LineageInput) -> dict[str, str]:
    names = ("source", "job", "data_digest", "code_digest", "environment_digest", "parent_version", "author")
    found = {name: str(getattr(lineage, name) or "") for name in names}
    return {name: value for name, value in found.items() if value}


# --- what never changes of a version ------------------------------------------------------------------------------


def _document(draft: Draft) -> pb.Version:
    version, made = draft.asked.version, draft.inspected
    return pb.Version(
        format=made.format,  # type: ignore[arg-type]
        files=[pb.File(path=f.path, digest=f.digest, size_bytes=f.size, role=f.role) for f in draft.files],  # type: ignore[arg-type]
        signature=_signature(made.signature),
        serving=_serving(made.serving),
        lineage=_lineage(version.lineage),
        metrics=version.metrics,
        digest=draft.digest,
        size_bytes=sum(file.size for file in draft.files),
    )


def _signature(signature: Signature) -> pb.Signature:
    def side(tensors: tuple[Tensor, ...]) -> list[pb.Tensor]:
        return [pb.Tensor(name=t.name, datatype=t.datatype, shape=t.shape, optional=t.optional) for t in tensors]

    return pb.Signature(inputs=side(signature.inputs), outputs=side(signature.outputs))


def _serving(serving: Serving) -> pb.Serving:
    made = pb.Serving(
        max_batch_size=serving.max_batch_size or 0,
        instances=serving.instances,
        parameters=serving.parameters,
        backend=serving.backend,
    )
    if serving.batching is not None:
        made.dynamic_batching.SetInParent()
        made.dynamic_batching.preferred_batch_sizes.extend(serving.batching.preferred_batch_sizes)
        made.dynamic_batching.max_queue_delay_us = serving.batching.max_queue_delay_us
    return made


def _lineage(lineage: LineageInput) -> pb.Lineage:
    made = pb.Lineage(seed=lineage.seed, **_searchable(lineage))  # type: ignore[arg-type]
    if lineage.parameters:
        ParseDict(lineage.parameters, made.parameters)
    return made
