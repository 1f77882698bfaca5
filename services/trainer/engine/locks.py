"""The lock that a job asks to be run with: what it has to hold, so that the job's driver and workers run in it. Pure,
but for what it asks of the Python that it runs under.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from services.kit.errors import InvalidArgument, Violation
from services.trainer.jobs.spec import Spec
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.recipe import Place
from services.trainer.reproduce.machine import PLATFORM, running
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.pinned import read_pinned

FIELD = "job.environment_digest"
MOST_BYTES = 2**21  # one of 49 packages has 140 kB
# What drivers import themselves; what these need in turn is the resolver's concern.
NEEDED = tuple(line for line in Path(__file__).with_name("environment.in").read_text().splitlines() if line[0] != "#")


def read(content: bytes) -> Lock:
    """The lock without BMASE itself, which the trainer brings. InvalidArgument says what is wrong or missing."""
    if len(content) > MOST_BYTES:
        raise InvalidArgument([Violation(FIELD, f"it has {len(content)} bytes; {MOST_BYTES} are the most")])
    return fitting(read_pinned(content, running(), PLATFORM, FIELD), metadata.version("ray"))


def fitting(lock: Lock, ray: str) -> Lock:
    """The lock itself. InvalidArgument when a driver cannot run in it: workers have to speak with the trainer's Ray."""
    if absent := [name for name in NEEDED if lock.package(name) is None]:
        words = f"it lacks what BMASE runs jobs with: {', '.join(absent)}"
        raise InvalidArgument([Violation(FIELD, words)])
    found = lock.package("ray")
    assert found is not None
    if found.version != ray:
        raise InvalidArgument([Violation(FIELD, f"it has ray=={found.version}, and the trainer's Ray is {ray}")])
    return lock


def may_have_one(spec: Spec) -> None:
    """InvalidArgument for a lock of a recipe that needs the trainer's own environment."""
    if spec.environment_digest is not None and spec.recipe and by_name(spec.recipe).place is Place.ALONE:
        words = f"the recipe {spec.recipe} runs in the trainer's own environment: leave it out"
        raise InvalidArgument([Violation(FIELD, words)])
