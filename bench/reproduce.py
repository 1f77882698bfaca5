"""Do versions come out of their records again?

    .venv/bin/python -m bench.reproduce [--only tabular,recommendation] [--keep FOLDER]

Each recipe trains a small version under this Python. Then the environment of its record is built anew in an empty
folder by uv, the training is repeated in it, and the verdict is what counts: the same bytes, equal within the tolerance
that the recipe declares, or different.

After that three things are changed and have to be named: a file of the data, a file of a package in the environment
that was built, and a wheel that has another content under the same version. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from bench.support import results
from bench.support.recipes import CASES, Case
from services.kit.errors import DomainError
from services.trainer.data import discover
from services.trainer.jobs.spec import Resources, Spec
from services.trainer.reproduce import again
from services.trainer.reproduce.again import How, environment_folder, reproduce
from services.trainer.reproduce.determinism import Determinism
from services.trainer.reproduce.environment import Installer, build
from services.trainer.reproduce.machine import Machine, observe_lock
from services.trainer.reproduce.made import Made
from services.trainer.reproduce.observe import Worker, observe, plan_of
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.requirements import Where, site_packages
from services.trainer.reproduce.verdict import Outcome, Verdict
from tests.support.wheelhouse import pack, with_another_content

CHANGED = "joblib"  # any pure package that is in every environment of the trainer
SEED = 11


@dataclass
class Bench:
    """Where things lie. `spent` is seconds by what they were spent on."""

    folder: Path
    lock: Lock
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def how(self) -> How:
        return How(self.folder / "environments")

    def train(self, case: Case) -> Made:
        """A version, in the environment of this process."""
        data = case.data(self.folder / case.recipe)
        job = Spec(
            model=f"models/{case.recipe}",
            recipe=case.recipe,
            parameters=dict(case.settings),
            seed=SEED,
            resources=Resources(time_limit=1800),
        )
        worker = Worker(determinism=Determinism(plan=plan_of(job)), machine=Machine(system=sys.platform, cores=1))
        record = observe(job, {"data": discover(data.as_uri())}, worker=worker, environment=self.lock)
        return again.train(Path(sys.executable), record, self.folder / case.recipe / "first", self.how)

    def timed(self, what: str, work: Callable[[], object]) -> object:
        began = time.monotonic()
        found = work()
        self.spent[what] = round(time.monotonic() - began, 1)
        return found


def run(bench: Bench, cases: Sequence[Case]) -> dict[str, object]:
    """The figures."""
    bench.timed("build", lambda: build(bench.lock, bench.how.environments / _short(bench.lock), Installer()))
    print(f"the environment of {len(bench.lock.packages)} packages was built in {bench.spent['build']} s", flush=True)
    verdicts = {case.recipe: _verdict(bench, case) for case in cases}
    named = _named(bench, cases[-1])
    return {
        "recipes": len(verdicts),
        "identical": [name for name, each in verdicts.items() if each.outcome is Outcome.IDENTICAL],
        "within_tolerance": [name for name, each in verdicts.items() if each.outcome is Outcome.EQUAL],
        "different": sum(each.outcome is Outcome.DIFFERENT for each in verdicts.values()),
        "tampering_named": all(named.values()),
        "named": named,
        "packages": len(bench.lock.packages),
        "seconds": bench.spent,
    }


def _verdict(bench: Bench, case: Case) -> Verdict:
    version = bench.timed(f"{case.recipe}, trained", lambda: bench.train(case))
    assert isinstance(version, Made)
    out = bench.folder / case.recipe / "again"
    verdict = bench.timed(f"{case.recipe}, again", lambda: reproduce(version, out, bench.how))
    assert isinstance(verdict, Verdict)
    print(f"{case.recipe}: {verdict.sentence}", flush=True)
    for change in verdict.changes:
        print(f"  {change.part}: {change.sentence}", flush=True)
    return verdict


def _named(bench: Bench, case: Case) -> dict[str, bool]:
    """What was changed -> whether it was found and named; each is changed back before the next."""
    version = Made(
        bench.folder / case.recipe / "first/made/files", (), bench.folder / case.recipe / "first/made/evidence"
    )
    record = version.record()
    data = Path(next(iter(record.data.values())).manifest.files[0].uri.removeprefix("file://"))
    package = site_packages(environment_folder(record, bench.how.environments), record.environment) / CHANGED
    out = bench.folder / "tampered"
    return {
        "data file": _edited(data, data.name, lambda: reproduce(version, out, bench.how)),
        "installed file": _edited(
            package / "__init__.py", f"{CHANGED}/__init__.py", lambda: reproduce(version, out, bench.how)
        ),
        "wheel": _names(f"{CHANGED}==", lambda: _built_from_another_wheel(bench)),
    }


def _edited(file: Path, name: str, work: Callable[[], object]) -> bool:
    """Written anew and not in place: an installer may have linked the file to its cache."""
    kept = file.read_bytes()
    try:
        _replace(file, kept + b"\n")
        return _names(name, work)
    finally:
        _replace(file, kept)


def _replace(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def _names(name: str, work: Callable[[], object]) -> bool:
    try:
        work()
    except DomainError as error:
        print(f"named: {error.message}", flush=True)
        return name in error.message
    return False


def _built_from_another_wheel(bench: Bench) -> None:
    wheels = pack([CHANGED], bench.folder / "wheels")
    with_another_content(next(wheels.iterdir()), f"{CHANGED}/__init__.py")
    package = bench.lock.package(CHANGED)
    assert package is not None
    only = bench.lock.model_copy(update={"packages": (package,)})
    build(only, bench.folder / "tampered-environment", Installer(where=Where(links=(wheels,), index=False)))


def _short(lock: Lock) -> str:
    return lock.digest.removeprefix("sha256:")[:16]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="recipes, by commas")
    parser.add_argument("--keep", type=Path, help="an empty folder that is not removed")
    given = parser.parse_args()
    chosen = [case for case in CASES if not given.only or case.recipe in given.only.split(",")]
    # On one disk with the installer's cache, environments are linked instead of copied.
    with nullcontext(str(given.keep)) if given.keep else tempfile.TemporaryDirectory(prefix="bmase-bench-") as folder:
        bench = Bench(Path(folder), observe_lock())
        results.finish("reproduce", run(bench, chosen))


if __name__ == "__main__":
    main()
