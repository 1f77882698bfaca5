"""From a job to what its attempt needs: which code, which versions, which folder."""

from __future__ import annotations

import asyncio
import contextlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.engine import locks
from services.trainer.engine.archives import extract
from services.trainer.engine.attempt import LOCK, Attempt, Brought, Kept
from services.trainer.engine.blobs import by_digest
from services.trainer.engine.registry import Registry
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Job, Phase
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.recipe import Place
from services.trainer.search import Wish, take

MOST_UNPACKED = 2**30  # bytes of a bundle
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True)
class Task:
    """What a job's code is."""

    main: str
    place: Place
    parameters: Mapping[str, Any]
    materials: tuple[str, ...] = ()
    search: Wish | None = None


def task(job: Job) -> Task:
    """InvalidArgument when the recipe has changed since the job was made and does not know its parameters."""
    if job.spec.bundle is not None:
        own, wish = take(job.spec.parameters)
        return Task(job.spec.bundle.entry_point, Place.WORKERS, own, search=wish)
    recipe = by_name(job.spec.recipe)
    own, wish = take(job.spec.parameters, recipe.parameters)
    if wish is not None:
        return Task(recipe.main, recipe.place, own, search=wish)
    found = recipe.check(own)
    return Task(recipe.main, recipe.place, found.model_dump(mode="json"), tuple(recipe.materials(found)))


class Assignments:
    """Prepares folders of attempts."""

    def __init__(self, registry: Registry, root: Path, blobs: str, checkpoint_seconds: float) -> None:
        self._registry, self._root = registry, root
        self._blobs, self._checkpoint_seconds = blobs, checkpoint_seconds

    def folder(self, job: str, number: int) -> Path:
        return self._root / job / str(number)

    async def prepare(self, job: Job, number: int, address: str, nodes: Mapping[str, int]) -> Path:
        """The attempt's folder with all that its driver is given; what the registry refuses is raised."""
        folder = self.folder(job.id, number)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(parents=True)
        what = task(job)
        product = Kept(key=by_digest(f"jobs/{job.id}/product-", job.product), digest=job.product)
        attempt = Attempt(
            job=job.id,
            number=number,
            model=job.model,
            spec=job.spec,
            main=what.main,
            place=what.place,
            parameters=what.parameters,
            search=what.search,
            blobs=self._blobs,
            address=address,
            nodes=nodes,
            code=await self._code(job, folder),
            lock=await self._lock(job, folder),
            checkpoints=tuple(Kept(key=c.uri, digest=c.digest, step=c.step) for c in reversed(job.checkpoints)),
            product=product if job.stage is Phase.EVALUATING else None,
            materials=await self._materials(what, folder),
            checkpoint_seconds=self._checkpoint_seconds,
        )
        attempt.write(folder)
        return folder

    async def stable(self, model: str, version: int, folder: Path) -> Brought:
        """The files of the version that is stable, to be asked the same."""
        return await self._registry.bring(f"{model}@{version}", folder / "stable")

    async def leave(self, job: str, number: int) -> None:
        """The attempt is over, and its folder gone."""
        await asyncio.to_thread(_remove, self.folder(job, number))

    async def clear(self) -> None:
        """What attempts of a killed trainer have left here; before the first attempt."""
        await asyncio.to_thread(_clear, self._root)

    async def _materials(self, what: Task, folder: Path) -> tuple[Brought, ...]:
        names = enumerate(what.materials)
        return tuple([await self._registry.bring(name, folder / "materials" / str(at)) for at, name in names])

    async def _code(self, job: Job, folder: Path) -> Path | None:
        if job.spec.bundle is None:
            return None
        packed, code = folder / "bundle", folder / "code"
        await self._registry.artefact(job.spec.bundle.digest, packed)
        await asyncio.to_thread(unpack_bundle, packed, code)
        return code

    async def _lock(self, job: Job, folder: Path) -> Path | None:
        """Held against this trainer before anything is started: it may be another than the one that took the job."""
        if job.spec.environment_digest is None:
            return None
        file = folder / LOCK
        file.write_bytes(await lock_of(job.spec.environment_digest, self._registry))
        return file


async def look_at(spec: Spec, registry: Registry) -> None:
    """Before a job is made: the lock that it names is there and fits, or the error says why not."""
    if spec.environment_digest is not None:
        await lock_of(spec.environment_digest, registry)


async def lock_of(digest: str, registry: Registry) -> bytes:
    """A lock in which jobs can run here; InvalidArgument, SERVICE_UNAVAILABLE."""
    try:
        content = await registry.document(digest, locks.MOST_BYTES)
    except DomainError as error:
        if error.reason is not Reason.ARTEFACT_NOT_FOUND:
            raise
        raise InvalidArgument([Violation(locks.FIELD, f"{digest} is not stored: upload the lock first")]) from None
    locks.read(content)
    return content


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # the job's own, when it holds no other attempt


def _clear(root: Path) -> None:
    for each in root.iterdir() if root.exists() else ():
        if each.is_dir():  # a file is of all attempts
            shutil.rmtree(each, ignore_errors=True)


def unpack_bundle(packed: Path, code: Path) -> None:
    """A .tar.gz or .zip, below `code` and nowhere else; INVALID_FIELD for anything else, or too much."""
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as archive:
                _check_size(sum(each.file_size for each in archive.infolist()))
                archive.extractall(code)  # noqa: S202 - zipfile keeps names inside by itself
            return
        with tarfile.open(packed) as tar:
            _check_size(sum(each.size for each in tar))
            extract(tar, code)
    except OSError as error:
        if error.errno is not None:  # the disk's fault; archives that are none have no number
            raise
        raise _no_bundle(error) from error
    except (*_BROKEN, RuntimeError) as error:  # the latter: a zip with a password
        raise _no_bundle(error) from error


def _no_bundle(error: Exception) -> DomainError:
    return DomainError(Reason.INVALID_FIELD, f"the bundle is no .tar.gz or .zip: {error}", field="bundle")


def _check_size(size: int) -> None:
    if size > MOST_UNPACKED:
        message = f"the bundle has {size} bytes when unpacked; {MOST_UNPACKED} are the most"
        raise DomainError(Reason.INVALID_FIELD, message, field="bundle")
