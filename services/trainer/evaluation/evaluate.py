"""The way in: everything that is known of a version from its answers to held-out rows, as one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Answers, Array, Classification, Task
from services.trainer.evaluation.calibration import Calibration, calibration
from services.trainer.evaluation.comparison import Comparison, compare, same_rows
from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.estimate import Estimate, Setting
from services.trainer.evaluation.gates.gate import Gate
from services.trainer.evaluation.metrics.catalogue import by_name, of_task
from services.trainer.evaluation.metrics.metric import Metric
from services.trainer.evaluation.slices import Edges, Slices, slices


@dataclass(frozen=True)
class Evaluation(Document):
    """Kept with the version. Two evaluations of the same answers with the same setting are equal."""

    task: Task
    rows: int
    setting: Setting
    estimates: tuple[Estimate, ...]
    left_out: dict[str, str]  # metric -> why it cannot be had
    slices: Slices | None = None
    calibration: Calibration | None = None
    comparison: Comparison | None = None
    not_compared: str = ""  # why the version that is stable could not be asked the same; empty: none was stable

    def estimate(self, metric: str) -> Estimate | None:
        return next((one for one in self.estimates if one.metric == metric), None)

    @property
    def metrics(self) -> dict[str, float]:
        """The plain figures, as the registry keeps them with a version."""
        return {each.metric: each.value for each in self.estimates}


def evaluate(
    answers: Answers,
    setting: Setting | None = None,
    *,
    gates: Sequence[Gate] = (),
    metrics: Sequence[str] = (),
    columns: Mapping[str, Array] | None = None,
    edges: Edges | None = None,
    stable: Answers | None = None,
    stable_version: int = 0,
    not_compared: str = "",
) -> Evaluation:
    """All metrics of the task, those that `gates` and `metrics` name, and each of `columns` (n,) as slices.

    `stable` are the answers of the version now stable to the same rows in the same order; `not_compared` says why there
    are none though a version is stable. InvalidArgument when a gate names a metric of another task or a column that is
    not there.
    """
    setting, columns = setting or Setting(), columns or {}
    check(gates, answers.task, columns)
    if (stable is None) != (stable_version == 0):
        raise InvalidArgument([Violation("stable_version", "goes with the stable version's answers, and only then")])
    if stable is not None and not_compared:
        raise InvalidArgument([Violation("not_compared", "does not go with the stable version's answers")])
    if stable is not None:
        same_rows(answers, stable)
    wanted = _wanted(answers.task, [*metrics, *(gate.metric for gate in gates)], setting)
    lacks = {each.name: each.missing(answers) for each in wanted}
    had = [each for each in wanted if not lacks[each.name]]
    by_slice = {gate.metric for gate in gates if gate.column}
    looked_at = [each for each in had if each is had[0] or each.name in by_slice]
    return Evaluation(
        task=answers.task,
        rows=answers.rows,
        setting=setting,
        estimates=tuple(each.estimate(answers, setting) for each in had),
        left_out={name: why for name, why in lacks.items() if why},
        slices=slices(answers, columns, looked_at, setting, edges=edges, stable=stable) if columns else None,
        calibration=_calibration(answers, setting),
        comparison=compare(answers, stable, wanted, setting, stable_version) if stable is not None else None,
        not_compared=not_compared,
    )


def check(gates: Sequence[Gate], task: Task, columns: Mapping[str, object]) -> None:
    """Can the gates be answered at all? Ask before anything is trained; InvalidArgument names each that cannot."""
    broken = []
    for at, gate in enumerate(gates):
        of = by_name(gate.metric).task
        if of is not task:
            broken.append(Violation(f"gates[{at}]", f"{gate.metric} is of {of}, and the answers are of {task}"))
        if gate.column and gate.column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            broken.append(Violation(f"gates[{at}]", f"no column {gate.column!r} to slice by; there are: {known}"))
    if broken:
        raise InvalidArgument(broken)


def _calibration(answers: Answers, setting: Setting) -> Calibration | None:
    if not isinstance(answers, Classification) or answers.probabilities is None:
        return None
    return calibration(answers, setting)


def _wanted(task: Task, named: Sequence[str], setting: Setting) -> list[Metric]:
    found = {each.name: each for each in of_task(task, setting)}
    for name in named:
        metric = found.get(name) or by_name(name, setting)
        if metric.task is not task:
            raise InvalidArgument([Violation("metrics", f"{name} is of {metric.task}, and the answers are of {task}")])
        found.setdefault(name, metric)
    return list(found.values())
