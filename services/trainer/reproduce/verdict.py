"""The verdict on a reproduction: identical, equal within the declared tolerance, or different, and then where first.

Different is whatever is not shown to be equal: a file whose inside cannot be compared, an output that only one side
has, or nothing left to judge by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import zip_longest

from services.kit.errors import InvalidArgument, Violation
from services.trainer.reproduce.changes import Change, changes
from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.runs import Run
from services.trainer.reproduce.sentences import say
from services.trainer.reproduce.series import Parting, compare_series
from services.trainer.reproduce.tensors import Gap, Kind, compare, place
from services.trainer.reproduce.tolerance import Tolerance
from services.trainer.reproduce.weights import beside, graph_of

REPRODUCES = "reproduces"  # the note by which a job's product is known to be a verdict and no version
MAX_TOLD = 32  # tensors and series that are kept of each kind


class Outcome(StrEnum):
    """How a reproduction compares with its version."""

    IDENTICAL = "identical"
    EQUAL = "equal"  # within the declared tolerance
    DIFFERENT = "different"


class Evidence(StrEnum):
    """Kinds of evidence, in the order in which training makes them."""

    SERIES = "series"
    GRAPH = "graph"
    WEIGHTS = "weights"
    OUTPUTS = "outputs"
    FILES = "files"


class Divergence(Document):
    """Where the two part. `where` is a series, a part of the graph, a tensor, an output or a file."""

    evidence: Evidence
    where: str
    sentence: str


class FileGap(Document):
    """A file whose digests differ; None where it is not."""

    path: str
    before: str | None
    now: str | None


class Compared(Document):
    """Arrays of one kind: how many there are, how many are unequal, the first of these, and the greatest of all."""

    count: int
    unequal: int = 0
    gaps: tuple[Gap, ...] = ()  # those beyond the bound first
    absolute: Gap | None = None
    relative: Gap | None = None


class Verdict(Document):
    """What is kept and shown of a reproduction. `divergences` break the tolerance, the first of training first;
    `first` is the first of them, or, if there is none, the first inequality within the tolerance.
    """

    outcome: Outcome
    sentence: str
    before: str  # digests of the records
    now: str
    tolerance: Tolerance
    changes: tuple[Change, ...] = ()
    files: tuple[FileGap, ...] = ()
    series: tuple[Parting, ...] = ()
    weights: Compared
    outputs: Compared
    divergences: tuple[Divergence, ...] = ()
    first: Divergence | None = None


def judge(before: Run, now: Run, tolerance: Tolerance) -> Verdict:
    """Pure but for tensors that are read while they are compared. InvalidArgument for a run without any file."""
    if broken := [name for name, run in (("before", before), ("now", now)) if not run.files]:
        raise InvalidArgument([Violation(f"{name}.files", "must name at least one file") for name in broken])
    files = tuple(_files(before, now))
    weights = list(_weights(before, now, tolerance)) if files else []
    series = compare_series(before.series, now.series, tolerance)
    outputs = list(compare(before.outputs, now.outputs, tolerance.outputs))
    graph = list(_graphs(before, now)) if files else []
    broken_by = [
        *(_parted(each) for each in series if tolerance.series is not None and each.beyond_step is not None),
        *graph,
        *(_apart(Evidence.WEIGHTS, gap) for gap in weights if _breaks(gap, judged=tolerance.weights is not None)),
        *(_apart(Evidence.OUTPUTS, gap) for gap in outputs if _breaks(gap, judged=tolerance.outputs is not None)),
        *_uncovered(files, before, now, tolerance),
    ]
    outcome = _outcome(files, broken_by)
    inequalities = [
        *map(_parted, series),
        *(_apart(Evidence.WEIGHTS, gap) for gap in weights),
        *(_apart(Evidence.OUTPUTS, gap) for gap in outputs),
    ]
    verdict = Verdict(
        outcome=outcome,
        sentence="",
        before=before.record.digest,
        now=now.record.digest,
        tolerance=tolerance,
        changes=changes(before.record, now.record),
        files=files,
        series=series[:MAX_TOLD],
        weights=_compared(sum(map(len, before.weights.values())), weights),
        outputs=_compared(len(before.outputs), outputs),
        divergences=tuple(broken_by[:MAX_TOLD]),
        first=next(iter([*broken_by, *inequalities]), None),
    )
    return verdict.model_copy(update={"sentence": _sentence(verdict, before, now)})


def _outcome(files: Sequence[FileGap], broken_by: Sequence[Divergence]) -> Outcome:
    """Equal digests are equal models, whatever was measured about them."""
    if not files:
        return Outcome.IDENTICAL
    return Outcome.DIFFERENT if broken_by else Outcome.EQUAL


def _files(before: Run, now: Run) -> Iterator[FileGap]:
    for path in sorted(before.files.keys() | now.files.keys()):
        old, new = before.files.get(path), now.files.get(path)
        if old != new:
            yield FileGap(path=path, before=old, now=new)


def _weights(before: Run, now: Run, tolerance: Tolerance) -> Iterator[Gap]:
    """Of files that both have. With several files of weights, their paths are part of the names."""
    for path in before.weights:
        same = before.files.get(path) == now.files.get(path) and not beside(before.weights[path])
        if path not in now.weights or same:
            continue
        for gap in compare(before.weights[path], now.weights[path], tolerance.weights):
            yield gap if len(before.weights) == 1 else gap.model_copy(update={"name": f"{path}: {gap.name}"})


def _graphs(before: Run, now: Run) -> Iterator[Divergence]:
    """The first part of each file's graph that is another."""
    for path in before.weights:
        if path not in now.weights:
            continue
        for old, new in zip_longest(graph_of(before.weights[path]), graph_of(now.weights[path])):
            if old != new:
                found = f"{path} computes otherwise from {old or 'its end'} on: there is {new or 'nothing'} now"
                same = old is not None and new is not None and old.name == new.name
                sentence = f"{path} computes otherwise: {old} is not the same" if same else found
                yield Divergence(evidence=Evidence.GRAPH, where=str(old or new), sentence=sentence)
                break


def _breaks(gap: Gap, *, judged: bool) -> bool:
    """Another type or shape is another model, whether or not values are judged."""
    return gap.beyond if judged else gap.kind is not Kind.VALUE


def _uncovered(files: Sequence[FileGap], before: Run, now: Run, tolerance: Tolerance) -> Iterator[Divergence]:
    by_outputs = tolerance.outputs is not None and bool(before.outputs) and bool(now.outputs)
    by_tensors = tolerance.weights is not None or by_outputs
    tensors = (before.weights.keys() & now.weights.keys()) | (before.beside & now.beside)
    for file in files:
        if file.before is None or file.now is None:
            yield _file(file, "is only in the version" if file.now is None else "is only in the reproduction")
        elif file.path in tensors:
            if not by_tensors:
                yield _file(file, "has another digest, and neither weights nor outputs are judged")
        elif not tolerance.leaves_to_outputs(file.path):
            yield _file(file, "has another digest, and what is in it cannot be compared")
        elif not by_outputs:
            yield _file(file, "has another digest, and there are no outputs to judge it by")


def _file(file: FileGap, why: str) -> Divergence:
    digests = f" ({file.before}, now {file.now})" if file.before and file.now else ""
    return Divergence(evidence=Evidence.FILES, where=file.path, sentence=f"{file.path} {why}{digests}")


def _parted(parting: Parting) -> Divergence:
    return Divergence(evidence=Evidence.SERIES, where=parting.metric, sentence=str(parting))


def _apart(evidence: Evidence, gap: Gap) -> Divergence:
    what = "weight" if evidence is Evidence.WEIGHTS else "output"
    return Divergence(evidence=evidence, where=gap.name, sentence=f"{what} {gap}")


def _compared(count: int, gaps: list[Gap]) -> Compared:
    values = [gap for gap in gaps if gap.kind is Kind.VALUE]
    return Compared(
        count=count,
        unequal=len(gaps),
        gaps=tuple(sorted(gaps, key=lambda gap: not gap.beyond)[:MAX_TOLD]),
        absolute=max(values, key=lambda gap: gap.absolute, default=None),
        relative=max(values, key=lambda gap: gap.relative, default=None),
    )


def _sentence(verdict: Verdict, before: Run, now: Run) -> str:
    return say(
        outcome=verdict.outcome.value,
        files=len(before.files),
        first=verdict.first.sentence if verdict.first else "",
        greatest=[
            f"the greatest difference of {what} is {gap.absolute:.3g} at {place(gap.name, gap.absolute_at)}"
            for what, gap in (("weights", verdict.weights.absolute), ("outputs", verdict.outputs.absolute))
            if gap is not None
        ],
        changed=[change.sentence for change in verdict.changes],
        unmet=now.record.determinism.unmet or before.record.determinism.unmet,
    )
