"""What a recipe is: training code of ours under a name, with its parameters. Light: nothing here imports torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmase.registry.v1 import registry_pb2
from bmase.training import Run
from bmase.training.run import DATA
from pydantic import BaseModel, ConfigDict, ValidationError

from services.kit.errors import InvalidArgument, Violation
from services.trainer.reproduce.tolerance import Tolerance

if TYPE_CHECKING:
    from services.trainer.data import Manifest, Splits

PRODUCT = "product.json"  # among a version's evidence: how its training says that it is asked and judged


class Place(StrEnum):
    """Where a recipe is run."""

    WORKERS = "workers"  # by Ray, in as many workers as the job asks for
    ALONE = "alone"  # in one process beside the trainer: it needs other versions, or a sandbox of its own


@dataclass(frozen=True)
class Material:
    """A version that a recipe works on: its files as the registry has them, below `folder`."""

    name: str  # model@number
    version: registry_pb2.Version
    folder: Path


class AloneRun(Run):
    """What a recipe that is run alone is given beside the rest."""

    memory_bytes: int  # that the job may take: bounds this process, and is to bound what it starts
    snapshots: str = ""  # the address of the store in which jobs keep data (`--snapshot`); empty where there is none

    @property
    @abstractmethod
    def materials(self) -> Sequence[Material]:
        """The versions that the recipe named, in that order."""

    def parted(self, source: str = DATA) -> tuple[Manifest, Splits] | None:
        """The files of a source, and how their rows are parted; None for rows that lie in no files."""
        return None


class Parameters(BaseModel):
    """The base of every recipe's parameters: what is not known is refused, what is not given has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _none(_: Parameters) -> Sequence[str]:
    return ()


NO_TOLERANCE = Tolerance()  # the same numbers


@dataclass(frozen=True)
class Recipe:
    """`main` is "module:function" and takes a `bmase.training.Run`, as the code of users does."""

    name: str
    title: str
    main: str
    parameters: type[Parameters]
    place: Place = Place.WORKERS
    most_workers: int = 1024
    sources: tuple[str, ...] = ("data",)  # that a job has to give
    files: tuple[str, ...] = ()  # sources that have no rows: files of formats that only the recipe knows
    materials: Callable[[Any], Sequence[str]] = _none  # from parameters to "model@version" that it works on; for ALONE
    tolerance: Tolerance = NO_TOLERANCE  # of a version that is made again

    def check(self, given: Mapping[str, Any]) -> Parameters:
        """The parameters with their defaults; InvalidArgument names what is wrong."""
        try:
            return self.parameters.model_validate(dict(given))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            known = ", ".join(self.parameters.model_fields)
            raise InvalidArgument([_violation(each, known) for each in found]) from None


def _violation(error: Mapping[str, Any], known: str) -> Violation:
    place = ".".join(str(part) for part in error["loc"])
    words = f"is not known here; there are: {known}" if error["type"] == "extra_forbidden" else error["msg"]
    return Violation(f'job.parameters["{place}"]', words)
