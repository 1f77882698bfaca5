"""`make demo`: versions of a digit reader, moved by hand and then released by themselves, under live traffic.

By hand no request is lost. By themselves a better version takes over, and three bad ones are back at nothing: one that
fails, one that is slow, one that is wrong. In the end the platform trains a version itself, holds it against a gate,
serves it and shows what it looks at.

Uses a suite of its own (data in .cache/demo, or in BMASE_DATA), never the one in .bmase. Everything is stopped at the
end, unless it ran before or DEMO_KEEP=1 asks to leave it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bmase import BmaseError, Client, NewVersion, samples
from bmase.registry.v1 import registry_pb2
from bmase.transfer import digests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.digits import data, judged, recipes, release, spoiled
from examples.digits.data import Split
from examples.digits.judged import Candidate, Judged, Labels
from examples.digits.recipes import Recipe
from examples.digits.traffic import Traffic
from examples.digits.train import CACHE, SEED, Trained, train, write_pngs
from examples.digits.trained import TrainedHere
from infra.local import lifecycle
from infra.local.errors import SuiteError
from infra.local.place import CHECKOUT, DATA_VARIABLE, Place
from infra.local.programs import RUNTIME
from infra.local.supervision import Supervisor
from infra.local.view import View
from infra.runtime import RuntimeSetupError, ensure

MODEL = "digits"
SHOWN_DIGIT = 7
FAILS_BY_DESIGN = "cannot be reshaped"
SPOILED = {"fails for some": spoiled.failing, "slow": spoiled.slow, "wrong": spoiled.wrong}
UP_SECONDS = 120.0
console = Console(highlight=False)


@dataclass
class Outcome:
    """What the last table says; `problems` decide the exit code."""

    trained: dict[int, Trained] = field(default_factory=dict)
    live_accuracy: dict[int, float] = field(default_factory=dict)
    split: release.Split | None = None
    switches: list[release.Switch] = field(default_factory=list)
    by_hand: int = 0  # answers until the releases began, whose failures no release explains
    judged: list[Judged] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    explanation: Path | None = None  # a picture
    problems: list[str] = field(default_factory=list)


def main() -> int:
    """0 when everything went as promised."""
    begun = time.monotonic()
    place = Place.at(Path(os.environ.get(DATA_VARIABLE) or CHECKOUT / ".cache" / "demo"))
    ran_before = Supervisor(place).alive()
    try:
        ensure(RUNTIME)
        suite = lifecycle.up(place, None, UP_SECONDS, View(console), trains=True)
        outcome = _story(suite.address("gateway"), place.root / "demo")
    except (SuiteError, RuntimeSetupError, BmaseError, RuntimeError) as error:
        console.print(f"\n[red]the demo failed:[/] {error}")
        for line in getattr(error, "details", ()):
            console.print(f"  | {line}", style="dim", markup=False)
        return 1
    finally:
        _leave(place, keep=ran_before or bool(os.environ.get("DEMO_KEEP")))
    _show(outcome, time.monotonic() - begun)
    return 1 if outcome.problems else 0


def _leave(place: Place, keep: bool) -> None:
    if keep:
        console.print(f"[dim]the suite stays up; stop it with: .venv/bin/bmase down --data-dir {place.root}[/]")
    else:
        lifecycle.down(place, View(console, quiet=True))


def _story(address: str, folder: Path) -> Outcome:
    outcome = Outcome()
    split = data.load(SEED)
    weak, better = _train_both(split)
    with Client(address) as client:
        first, second = _push(client, weak, recipes.WEAK), _push(client, better, recipes.BETTER)
        outcome.trained = {first: weak, second: better}
        bad = [Candidate(_push_spoiled(client, better, spoil), label) for label, spoil in SPOILED.items()]
        _begin(client, first)
        png = write_pngs(split, CACHE / "images")[SHOWN_DIGIT]
        _infer_png(address, png)
        traffic = Traffic(address, MODEL, split.test_images, split.test_labels)
        traffic.start()
        try:
            _release(client, traffic, outcome, first, second)
            outcome.by_hand = len(traffic.answers)
            with Labels(client, MODEL, traffic):
                for candidate in [Candidate(second, "better", good=True), *bad]:
                    outcome.judged.append(_leave_alone(client, traffic, candidate))
                    if not outcome.judged[-1].as_promised:
                        break  # what is deployed now is in the way of the others
        finally:
            traffic.stop()
        outcome.explanation = TrainedHere(client, address, folder, console, _say).tell(split, png)
    _count(traffic, outcome)
    return outcome


def _train_both(split: Split) -> tuple[Trained, Trained]:
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        made = [_train_one(recipe, split, progress) for recipe in (recipes.WEAK, recipes.BETTER)]
    return made[0], made[1]


def _train_one(recipe: Recipe, split: Split, progress: Progress) -> Trained:
    task = progress.add_task(f"{recipe.name}: cached", total=1)

    def report(what: str, done: int, of: int) -> None:
        progress.update(task, description=f"{recipe.name}: {what}", completed=done, total=of)

    made = train(recipe, split, report)
    progress.update(task, description=f"{recipe.name}: accuracy {made.accuracy:.1%}", completed=1, total=1)
    return made


def _push(client: Client, made: Trained, recipe: Recipe) -> int:
    """The number of the version with exactly this model file; it is made when there is none yet."""
    digest, _size = digests.of_file(made.model)
    for known in _versions(client):
        if any(file.digest == digest for file in known.files):
            _say(f"version {known.number} is this network already, pushed earlier")
            return known.number
    new = NewVersion(
        description=recipe.description,
        labels={"network": recipe.name},
        metrics={"accuracy": made.accuracy, "loss": made.loss},
        dynamic_batching=True,
        samples=[samples.from_npz(made.sample)],
        lineage={"source": "train", "data_digest": made.facts["data"], "code_digest": made.facts["code"],
                 "seed": made.facts["seed"], "parameters": made.facts["recipe"]},
    )  # fmt: skip
    version = client.push(MODEL, made.model, new)
    _say(f"pushed the {recipe.name} network as version {version.number}")
    return version.number


def _push_spoiled(client: Client, good: Trained, spoil: Callable[[Path, Path], Path]) -> int:
    """A version that is bad in one way. It has no sample with a right answer, or its node would find it out."""
    file = spoil(good.model, CACHE / "spoiled" / spoil.__name__ / "model.onnx")
    digest, _size = digests.of_file(file)
    for known in _versions(client):
        if any(file.digest == digest for file in known.files):
            return known.number
    return client.push(MODEL, file, NewVersion(labels={"network": spoil.__name__})).number


def _versions(client: Client) -> list[registry_pb2.Version]:
    if not any(model.name == f"models/{MODEL}" for model in client.models.list(f'name:"{MODEL}"')):
        return []
    return list(client.versions.list(MODEL))


def _begin(client: Client, first: int) -> None:
    """Only the first version, with all traffic: also after an earlier demo, however it ended."""
    for active in client.releases.list(MODEL, active=True):
        client.releases.rollback(active.name, "a new demo begins")
        client.releases.wait(active.name, decided=False, timeout=60)
    deployed = {deployment.version for deployment in client.deployments.list(MODEL)}
    if first in deployed:
        client.deployments.wait(MODEL, first)
    else:
        _say(f"deploy version {first}")
        client.deploy(MODEL, first)
    client.routes.set(MODEL, {first: 100})
    for other in sorted(deployed - {first}):
        _say(f"take version {other} of the last demo out of service")
        client.undeploy(MODEL, other)


def _infer_png(address: str, png: Path) -> None:
    command = ["bmase", "--address", address, "infer", MODEL, "--image", str(png)]
    _say("$ " + " ".join(command))
    program = str(Path(sys.executable).parent / "bmase")
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    console.print(done.stdout.rstrip() or done.stderr.rstrip(), markup=False)
    if done.returncode != 0:
        raise RuntimeError("`bmase infer` failed")


def _release(client: Client, traffic: Traffic, outcome: Outcome, first: int, second: int) -> None:
    """Deploy beside, a tenth, all, back, all again."""
    traffic.wait(lambda: len(traffic.answers) >= 100, "100 answers")
    _say(f"deploy version {second} beside version {first}, under live traffic")
    client.deploy(MODEL, second)
    _say(f"give version {second} a tenth of the traffic")
    outcome.split = release.split(client, traffic, MODEL, {first: 90, second: 10}, second)
    for to, label in ((second, "promote"), (first, "roll back")):
        _say(f"{label}: all traffic to version {to}")
        outcome.switches.append(release.switch(client, traffic, MODEL, to, label))


def _leave_alone(client: Client, traffic: Traffic, candidate: Candidate) -> Judged:
    """A good version may be slow for a moment, where something else takes the processors: it gets another chance."""
    _say(f"release version {candidate.version} ({candidate.label}), and leave it alone")
    found = judged.release(client, traffic, MODEL, candidate, _say)
    if found.as_promised or found.reason != "BAD_SLOW":
        return found
    _say("where a machine has other work, any version may be slow for a moment: once more")
    return judged.release(client, traffic, MODEL, candidate, _say)


def _count(traffic: Traffic, outcome: Outcome) -> None:
    answers = traffic.answers
    outcome.sent = len(answers)
    # A version that fails is part of the second half: its failures are counted with its release.
    failures = [a for a in answers[: outcome.by_hand] if a.failure]
    failures += [a for a in answers[outcome.by_hand :] if a.failure and FAILS_BY_DESIGN not in a.failure]
    outcome.failed = len(failures)
    for number in outcome.trained:
        right = [a.right for a in answers if a.version == number]
        outcome.live_accuracy[number] = sum(right) / len(right) if right else float("nan")
    outcome.problems += [f"{outcome.failed} requests failed, the first: {failures[0].failure}"] if failures else []
    if outcome.split and not outcome.split.plausible:
        outcome.problems.append(f"the split was {outcome.split.observed:.1%}, wanted {outcome.split.wanted:.0%}")
    for one in outcome.judged:
        if not one.as_promised:
            wanted = "promoted" if one.candidate.good else "rolled back"
            outcome.problems.append(f"version {one.candidate.version} was not {wanted}: {one.message}")
    weak, better = outcome.trained.values()
    if better.accuracy <= weak.accuracy:
        outcome.problems.append("the second version is not better than the first")


def _show(outcome: Outcome, seconds: float) -> None:
    table = Table(title="What happened", show_header=False, title_justify="left")
    for number, made in outcome.trained.items():
        live = outcome.live_accuracy[number]
        table.add_row(f"accuracy of version {number}", f"{made.accuracy:.1%} held out, {live:.1%} of the live answers")
    if outcome.split:
        table.add_row("observed split", f"{outcome.split.observed:.1%} of {outcome.split.all} requests, wanted 10 %")
    for s in outcome.switches:
        table.add_row(
            s.label, f"{s.seconds * 1000:.0f} ms until the last old answer (the call: {s.call_seconds * 1000:.0f} ms)"
        )
    table.add_row("requests sent", str(outcome.sent))
    table.add_row("requests failed", f"[{'red' if outcome.failed else 'green'}]{outcome.failed}[/]")
    table.add_row("what the trained version sees in a 7", str(outcome.explanation))
    table.add_row("the whole demo", f"{seconds:.0f} s")
    console.print(table)
    _show_judged(outcome.judged)
    for problem in outcome.problems:
        console.print(f"[red]not as promised:[/] {problem}")


def _show_judged(all_judged: list[Judged]) -> None:
    table = Table(title="What the releases decided by themselves", title_justify="left")
    for heading in ("version", "verdict", "decided in", "first bad answer to none", "harmed"):
        table.add_column(heading)
    for one in all_judged:
        verdict = "[green]promoted[/]" if one.promoted else "[yellow]rolled back[/]"
        to_zero = f"{one.first_bad_to_zero:.1f} s" if one.first_bad_to_zero is not None else ""
        harmed = "" if one.candidate.good else f"{one.harmed} of {one.requests}"
        label = f"{one.candidate.version}: {one.candidate.label}"
        table.add_row(label, verdict, f"{one.seconds:.1f} s", to_zero, harmed)
    console.print(table)
    for one in all_judged:
        console.print(f"[dim]{one.candidate.version}: {one.message}[/]")


def _say(text: str) -> None:
    console.print(f"[bold cyan]>[/] {text}")


if __name__ == "__main__":
    sys.exit(main())
