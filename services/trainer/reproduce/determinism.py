"""What a worker sets before user code, so that the same inputs give the same numbers: first a plan, then its steps.

Part of it is read by Python and the numeric libraries only when they start, so whoever starts a worker gives it
`Plan.environment`; `apply` does the rest in the worker, and tells what came too late instead of hiding it.

    PYTHONHASHSEED               order of sets of strings                 docs.python.org, using/cmdline
    *_NUM_THREADS                into how many parts sums are split
    MKL_CBWR=AUTO                oneMKL: the same result from run to run, whatever the alignment of memory
    CUBLAS_WORKSPACE_CONFIG      cuBLAS: required by PyTorch's deterministic algorithms   pytorch.org, notes/randomness
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Field

from services.trainer.reproduce.documents import Document

MAX_SEED = 2**32 - 1  # numpy and PYTHONHASHSEED take no greater one


class Plan(Document):
    """`threads`: of every numeric library of one worker. `strict`: an operation that has no deterministic kernel fails
    (PyTorch names it); otherwise it warns and may give other numbers.
    """

    seed: int = Field(ge=0, le=MAX_SEED)
    threads: int = Field(default=1, ge=1, le=1024)
    strict: bool = True
    cublas_workspace: str = Field(default=":4096:8", pattern=r"^:(4096:8|16:8)$")

    @property
    def environment(self) -> dict[str, str]:
        """Variables that a worker's process has to be started with."""
        threads = str(self.threads)
        return {
            "PYTHONHASHSEED": str(self.seed),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "NUMEXPR_NUM_THREADS": threads,
            "OMP_DYNAMIC": "FALSE",
            "MKL_DYNAMIC": "FALSE",
            "MKL_CBWR": "AUTO",
            "CUBLAS_WORKSPACE_CONFIG": self.cublas_workspace,
        }

    @property
    def steps(self) -> tuple[Step, ...]:
        """In the order in which they are done."""
        return (
            Step("random", "seed", (self.seed,)),
            Step("numpy", "random.seed", (self.seed,)),
            Step("threadpoolctl", "threadpool_limits", (self.threads,)),
            Step("torch", "manual_seed", (self.seed,)),  # of every device
            Step("torch", "set_num_threads", (self.threads,)),
            Step("torch", "set_num_interop_threads", (1,)),
            Step("torch", "use_deterministic_algorithms", (True,), warn_only=not self.strict),
            Step("torch", "set_float32_matmul_precision", ("highest",)),
            Step("torch", "backends.cudnn.deterministic", True),
            Step("torch", "backends.cudnn.benchmark", False),
        )


@dataclass(frozen=True)
class Step:
    """One call in a module, with these arguments; or, when `value` is no tuple, one setting."""

    module: str
    name: str
    value: tuple[Any, ...] | bool
    warn_only: bool | None = None

    def __str__(self) -> str:
        if not isinstance(self.value, tuple):
            return f"{self.module}.{self.name} = {self.value}"
        named = [] if self.warn_only is None else [f"warn_only={self.warn_only}"]
        return f"{self.module}.{self.name}({', '.join([*map(repr, self.value), *named])})"


class Determinism(Document):
    """What was in force while a version was made: the plan, the steps that were done, and what did not hold."""

    plan: Plan
    done: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.unmet


MODULES = ("numpy", "threadpoolctl", "torch")


def apply(plan: Plan, *, load: Sequence[str] = MODULES, started_with: Mapping[str, str] | None = None) -> Determinism:
    """Does the plan's steps in this process, in modules that are imported; those in `load` are imported if they are
    installed, because one that user code imports later would miss its seed.

    `started_with`: the environment that the process was started with; read from the system when not given.
    """
    unmet = list(late(plan, initial_environment() if started_with is None else started_with))
    os.environ.update(plan.environment)
    modules = _modules(load)
    done: list[str] = []
    for step in plan.steps:
        if (module := modules.get(step.module)) is not None:
            failure = _do(step, module)
            (unmet if failure else done).append(failure or str(step))
    return Determinism(plan=plan, done=tuple(done), unmet=tuple(unmet))


def late(plan: Plan, started_with: Mapping[str, str]) -> Iterator[str]:
    """What should have been there when the process began, one sentence each."""
    for name, value in plan.environment.items():
        if (found := started_with.get(name)) != value:
            was = "was not set" if found is None else f"was {found}"
            yield f"{name} had to be {value} when the worker started, but {was}"


def initial_environment(path: Path = Path("/proc/self/environ")) -> dict[str, str]:
    """Of this process when it was started, which `os.environ` is not any more after a change; that, where the system
    does not tell.
    """
    try:
        entries = path.read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    pairs = (entry.partition(b"=") for entry in entries if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _modules(load: Sequence[str]) -> dict[str, ModuleType]:
    for name in load:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    names = {"random", *MODULES}
    importlib.import_module("random")
    return {name: sys.modules[name] for name in names if name in sys.modules}


def _do(step: Step, module: ModuleType) -> str:
    """Empty when it is done; otherwise why not."""
    *path, last = step.name.split(".")
    try:
        owner: Any = module
        for name in path:
            owner = getattr(owner, name)
        if isinstance(step.value, tuple):
            call: Callable[..., object] = getattr(owner, last)
            call(*step.value, **({} if step.warn_only is None else {"warn_only": step.warn_only}))
        else:
            setattr(owner, last, step.value)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        return f"{step} failed: {' '.join(str(error).split())[:200]}"
    return ""
