"""What the driver of an attempt is given, and what it says; as JSON, because it runs in an environment of the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Cause, Outcome
from services.trainer.recipes.recipe import Place
from services.trainer.search import Wish

FILE = "attempt.json"
LOCK = "environment.txt"  # beside it, and among the evidence of the version
EVENTS = "BMASE_EVENTS"  # the variable with the file descriptor on which a driver speaks
INSTALLER_HOME = "BMASE_INSTALLER_HOME"  # and with the home of uv's cache and settings: a driver on Ray has another


# What the contract has room for. Refused where the code says it: a job with another one could not be told to anybody.
Step = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kept(_Part):
    """Something in the blob store, known by its digest."""

    key: str
    digest: str
    size: int = 0
    step: Step = 0


class Brought(_Part):
    """A version whose files were brought: `version` is the registry's message as JSON."""

    name: str
    folder: Path
    version: Mapping[str, Any]


class Attempt(_Part):
    """One attempt: `main` is "module:function"; `code` is where the user's own code lies, on the trainer's machine."""

    job: str
    number: int
    model: str
    spec: Spec
    main: str
    place: Place
    parameters: Mapping[str, Any]
    search: Wish | None = None  # the best parameters are to be found first
    blobs: str
    address: str = ""  # of Ray; for Place.WORKERS
    nodes: Mapping[str, int] = {}  # of a cluster, by Ray's ids: how many of the workers go there; empty: anywhere
    code: Path | None = None
    bundle: Kept | None = None  # the same, for workers
    lock: Path | None = None  # the file; the driver and its workers run in the environment of it
    checkpoints: tuple[Kept, ...] = ()  # the latest first
    product: Kept | None = None  # set: training is done, and evaluation is what is left
    materials: tuple[Brought, ...] = ()
    checkpoint_seconds: float = 60.0

    @property
    def checkpoint(self) -> Kept | None:
        """The one to go on from."""
        return self.checkpoints[0] if self.checkpoints else None

    @property
    def threads(self) -> int:
        """Of every numeric library in each worker."""
        return max(1, int(self.spec.resources.cpus))

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(self.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> Attempt:
        return cls.model_validate_json((folder / FILE).read_bytes())


# --- what the driver says, one line each


class Prepared(_Part):
    kind: Literal["prepared"] = "prepared"


class Progressed(_Part):
    kind: Literal["progressed"] = "progressed"
    step: Step
    total: Step = 0
    epoch: float = 0.0
    message: str = ""


class Measured(_Part):
    """`time` is when it was reported."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    kind: Literal["measured"] = "measured"
    time: float
    step: int
    values: Mapping[str, float]


class Logged(_Part):
    kind: Literal["logged"] = "logged"
    time: float
    text: str
    worker: int = -1
    stderr: bool = False


class Checkpointed(_Part):
    kind: Literal["checkpointed"] = "checkpointed"
    kept: Kept


class Trained(_Part):
    kind: Literal["trained"] = "trained"
    product: Kept


class Gate(_Part):
    gate: str
    outcome: Outcome
    message: str = ""


class Evaluated(_Part):
    """`registers` false: what was made is no version (a reproduction), and `sentence` is how the job ends."""

    kind: Literal["evaluated"] = "evaluated"
    evidence: Kept
    gates: tuple[Gate, ...] = ()
    metrics: Mapping[str, float] = {}
    registers: bool = True
    sentence: str = ""


class Failed(_Part):
    """The attempt ends by it; `cause` says whether another one is worth while."""

    kind: Literal["failed"] = "failed"
    cause: Cause
    message: str


Said = Prepared | Progressed | Measured | Logged | Checkpointed | Trained | Evaluated | Failed

_SAID: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="kind")])


def read_line(line: bytes) -> Said:
    return _SAID.validate_json(line)


def write_line(said: Said) -> bytes:
    return said.model_dump_json().encode() + b"\n"


class Go(_Part):
    """What the driver is told before it evaluates: the version that is stable now, if there is one."""

    stable: Brought | None = None
    stable_version: int = 0
