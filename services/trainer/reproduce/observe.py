"""The record of a training, taken where it runs.

    in the process that starts a worker    environment |= plan_of(spec).environment
    in the worker, before the code         determinism = apply(plan)
    in the worker, after it                observe_worker(determinism).model_dump_json()
    in the job's driver                    observe(spec, manifests, worker=..., environment=...).to_json()

The driver runs under the same Python as its workers, so the lock is made there. It takes one to two seconds for 180
packages once their files have been read, which `observe_lock` remembers in a file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from services.trainer.data import Manifest, Splits
from services.trainer.jobs.spec import Spec, Split
from services.trainer.recipes.catalogue import by_name
from services.trainer.reproduce.code import Code, read_code
from services.trainer.reproduce.determinism import Determinism, Plan
from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.machine import Machine, observe_lock, observe_machine
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.platform import platform_files, recipe_code
from services.trainer.reproduce.record import Data, Record
from services.trainer.reproduce.tolerance import Tolerance
from services.trainer.search import take


class Worker(Document):
    """What only the worker knows: what was set before the code, and the machine with all that the code loaded."""

    determinism: Determinism
    machine: Machine


def observe_worker(determinism: Determinism) -> Worker:
    """This process, at the end of its work."""
    return Worker(determinism=determinism, machine=observe_machine(sys.modules.get("torch")))


def plan_of(spec: Spec) -> Plan:
    """Whole CPUs are threads. Our recipes do without operations that have no deterministic kernel; users' code is
    warned of them, which is better than an end after hours.
    """
    return Plan(seed=spec.seed, threads=max(1, int(spec.resources.cpus)), strict=spec.bundle is None)


def observe(
    spec: Spec,
    manifests: Mapping[str, Manifest],
    *,
    worker: Worker,
    bundle: Path | None = None,
    run_by: Sequence[str] = (),
    environment: Lock | None = None,
    resumed_at: int | None = None,
    tolerance: Tolerance | None = None,
) -> Record:
    """The record of the job of this spec over these sources.

    `bundle`: the unpacked code of users, for jobs that have some; `run_by`: modules of ours that ran the code besides;
    `environment`: a lock that was made before, as it is here otherwise; `resumed_at`: the step of the checkpoint that
    the training went on from; `tolerance`: the recipe's own when not given.
    InvalidArgument for code that cannot be recorded.
    """
    splits = splits_of(spec.split)
    return Record(
        recipe=spec.recipe,
        data={name: Data(manifest=manifest, splits=splits) for name, manifest in manifests.items()},
        code=code_of(spec, bundle, run_by),
        environment=environment or observe_lock(),
        machine=worker.machine,
        seed=spec.seed,
        parameters=parameters_of(spec),
        resources=spec.resources,
        determinism=_resumed(worker.determinism, resumed_at),
        tolerance=tolerance or (by_name(spec.recipe).tolerance if spec.recipe else Tolerance()),
    )


def _resumed(determinism: Determinism, at: int | None) -> Determinism:
    """Not all code draws the same numbers after a loss as without one."""
    if at is None:
        return determinism
    said = f"the training was lost and went on from the checkpoint of step {at}"
    return determinism.model_copy(update={"unmet": (*determinism.unmet, said)})


def splits_of(split: Split) -> Splits | None:
    """None: all rows are for training."""
    if split.none:
        return None
    rest = 1 - split.validation - split.test
    return Splits(train=rest, validation=split.validation, test=split.test, salt=split.salt, key=split.key)


def code_of(spec: Spec, bundle: Path | None, run_by: Sequence[str] = ()) -> Code:
    """A recipe's module and what it imports of ours, or all files of a bundle and what gives it its rows."""
    if spec.bundle is None:
        return recipe_code(by_name(spec.recipe).main, run_by)
    if bundle is None:
        raise ValueError("the folder of the bundle is not given")
    own = read_code(bundle, spec.bundle.entry_point)
    return Code(files=(*own.files, *platform_files(run_by)), entry=own.entry)


def parameters_of(spec: Spec) -> dict[str, JsonValue]:
    """As the code is given them: a recipe's with all of its defaults."""
    if spec.bundle is not None:
        return dict(spec.parameters)
    recipe = by_name(spec.recipe)
    own, wish = take(spec.parameters, recipe.parameters)
    if wish is not None:
        return dict(spec.parameters)
    found: dict[str, JsonValue] = recipe.check(own).model_dump(mode="json")
    return found
