"""Files that say what a pipeline does, and when: TOML or JSON with the fields of the contract.

    [job]                               # bmase.trainer.v1.Job
    model = "digits"
    recipe = "image-classification"
    gates = ["accuracy >= 0.95"]
    data = [{uris = ["data/digits.csv"]}]   # without a scheme: a path of this machine

    [job.parameters]
    epochs = 3

    [release_policy]                    # as of `bmase release start --policy`; or no_release = true
    keep = "10m"

    [drift]                             # a schedule's trigger: cron, data, drift; without one it runs when asked
    cool_down = "6h"

Times are numbers with a unit (s, m, h, d). Whatever is left out is the server's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmase import names, policies
from bmase.trainer.v1 import pipeline_pb2, schedule_pb2

PLAN = ("job", "no_release", "release_policy")


def load(path: Path) -> dict[str, Any]:
    """What is in a file; InvalidArgument when it cannot be read."""
    return policies.read(path)


def plan(document: Mapping[str, Any]) -> pipeline_pb2.PipelinePlan:
    """What a pipeline is to do; what belongs to a schedule is left out. InvalidArgument says which field is wrong."""
    given = {name: document[name] for name in PLAN if name in document}
    made = policies.fill(given, pipeline_pb2.PipelinePlan(), "plan")
    if made.job.model:
        made.job.model = names.model(made.job.model)
    for source in made.job.data:
        source.uris[:] = [uri if "://" in uri else Path(uri).expanduser().absolute().as_uri() for uri in source.uris]
    return made


def schedule(name: str, document: Mapping[str, Any]) -> schedule_pb2.Schedule:
    """A schedule with its plan. InvalidArgument says which field is wrong."""
    given = {field: value for field, value in document.items() if field not in PLAN}
    made = policies.fill(given, schedule_pb2.Schedule(), "schedule")
    made.name = names.schedule(name)
    made.plan.CopyFrom(plan(document))
    return made
