"""The evaluation of what a training gave, on rows that it has not seen: figures, gates, pictures, card, reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bmase import references
from bmase.errors import BmaseError
from bmase.training import Cases, Product
from bmase.training.run import DATA

from services.kit.errors import DomainError
from services.trainer.data import Manifest, Part, Splits
from services.trainer.engine import cases as asking
from services.trainer.engine.attempt import Attempt, Gate
from services.trainer.engine.model import BATCH, Arrays, OnnxModel, joined
from services.trainer.engine.run import table
from services.trainer.evaluation import plots
from services.trainer.evaluation.answers import Answers
from services.trainer.evaluation.card import Card, markdown
from services.trainer.evaluation.evaluate import Evaluation, evaluate
from services.trainer.evaluation.gates.decide import decide
from services.trainer.evaluation.gates.gate import Decision
from services.trainer.evaluation.gates.parse import parse_all
from services.trainer.explanations import pictures as explained
from services.trainer.explanations.globally import explain_globally
from services.trainer.jobs.state import Outcome
from services.trainer.reproduce.record import Record

MOST_ROWS = 100_000  # that are judged
REFERENCE_ROWS = 5_000
REFERENCE_WITHIN = 10.0  # seconds, after which fewer rows have to do
MOST_VALUES = 20_000  # of an output in a row, to be in the reference
EXPLAINED_WITHIN = 10.0  # seconds, about
EXPLANATION = "explanation.json"
EVALUATION, GATES, CARD, RECORD, REFERENCE = (
    "evaluation.json",
    "gates.json",
    "card.md",
    "record.json",
    "reference.pb",
)


@dataclass(frozen=True)
class Judged:
    """What the evaluation came to."""

    gates: tuple[Gate, ...] = ()
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Stable:
    """The version that is stable now, to be asked the same."""

    version: int
    folder: Path


def judge(
    attempt: Attempt,
    product: Product,
    *,
    manifests: Mapping[str, Manifest],
    splits: Splits,
    record: Record,
    stable: Stable | None,
    out: Path,
) -> Judged:
    """Writes the evidence below `out`."""
    (out / RECORD).write_text(record.to_json())
    gates = parse_all(attempt.spec.gates)
    if not product.task:
        _write_card(attempt, product, record=record, evaluation=None, decision=None, pictures={}, out=out)
        failed = [
            Gate(gate=str(gate), outcome=Outcome.FAILED, message="the version was not evaluated") for gate in gates
        ]
        return Judged(tuple(failed), {})
    model = OnnxModel(product.folder, attempt.threads)
    # From all over the data: files are often in the order of time.
    every = max(1, -(-int(manifests[DATA].rows * splits.test) // MOST_ROWS))
    asked = asking.cases(product, table(manifests[DATA], splits, Part.TEST, every=every, most=MOST_ROWS))
    answers = asking.answers(product, asked, model(asked.inputs, _judged(product)))
    other, why_not = _stable(product, asked, stable, attempt.threads)
    evaluation = evaluate(
        answers,
        gates=gates,
        columns=asked.columns,
        stable=other,
        stable_version=stable.version if stable and other is not None else 0,
        not_compared=why_not,
    )
    decision = decide(gates, evaluation)
    (out / EVALUATION).write_text(evaluation.to_json())
    (out / GATES).write_text(decision.to_json())
    pictures = _write_pictures(answers, evaluation, out)
    pictures |= _write_explanation(product, asked, model, attempt.spec.seed, out)
    _write_card(
        attempt,
        product,
        record=record,
        evaluation=evaluation,
        decision=decision,
        pictures=pictures,
        out=out,
    )
    _write_reference(product, manifests[DATA], splits, model, out)
    return Judged(tuple(map(_gate, decision.answers)), evaluation.metrics)


def _gate(answer: object) -> Gate:
    found = answer.outcome.name  # type: ignore[attr-defined]
    return Gate(gate=answer.gate, outcome=Outcome[found], message=answer.sentence)  # type: ignore[attr-defined]


def _stable(product: Product, asked: Cases, stable: Stable | None, threads: int) -> tuple[Answers | None, str]:
    """Its answers to the same cases; or none, and why."""
    if stable is None:
        return None, ""
    words = f"version {stable.version}, which is stable, could not be asked the same: "
    try:
        model = OnnxModel(stable.folder, threads)
        if not model.takes(asked.inputs):
            return None, f"{words}it takes {', '.join(model.inputs)}"
        return asking.answers(product, asked, model(asked.inputs, _judged(product))), ""
    except (DomainError, KeyError, RuntimeError, ValueError) as error:
        return None, words + " ".join(str(error).split())[:300]
    except Exception as error:
        return None, words + " ".join(str(error).split())[:300]


def _judged(product: Product) -> tuple[str, ...]:
    return (product.output,) if product.output else ()


def _write_pictures(answers: Answers, evaluation: Evaluation, out: Path) -> dict[str, str]:
    drawn = plots.pictures(answers, evaluation)
    (out / "plots").mkdir()
    for name, content in drawn.items():
        (out / "plots" / name).write_bytes(content)
    return {Path(name).stem: f"plots/{name}" for name in drawn}


def _write_explanation(product: Product, asked: Cases, model: OnnxModel, seed: int, out: Path) -> dict[str, str]:
    """What the version looks at; none where the input has no parts."""
    try:
        found = explain_globally(
            lambda inputs: model(inputs, _judged(product)),
            asked,
            task=product.task,
            output=product.output,
            logits=product.logits,
            names={tensor: columns for tensor, columns in product.inputs.items() if isinstance(columns, tuple)},
            seconds=EXPLAINED_WITHIN,
            seed=seed,
        )
    except DomainError as error:
        return {"Explanation": f"none: {error.message}"}
    (out / EXPLANATION).write_text(found.to_json())
    drawn = explained.pictures(found)
    for name, content in drawn.items():
        (out / "plots" / name).write_bytes(content)
    return {Path(name).stem: f"plots/{name}" for name in drawn}


def _write_card(
    attempt: Attempt,
    product: Product,
    *,
    record: Record,
    evaluation: Evaluation | None,
    decision: Decision | None,
    pictures: Mapping[str, str],
    out: Path,
) -> None:
    data = {name: f"{each.manifest.rows} rows, {each.manifest.digest}" for name, each in record.data.items()}
    lineage = {
        "job": attempt.job,
        "code": f"{record.code.entry}, {record.code.digest}",
        "environment": f"{len(record.environment.packages)} packages, {record.environment.digest}",
        "seed": str(record.seed),
        "record": record.digest,
        **{str(name): str(note) for name, note in product.notes.items()},
    }
    card = Card(
        model=attempt.model,
        description=product.description,
        data=data,
        parameters=dict(record.parameters),
        lineage=lineage,
        evaluation=evaluation,
        decision=decision if decision and decision.answers else None,
        pictures={name: path for name, path in pictures.items() if path.startswith("plots/")},
    )
    (out / CARD).write_text(markdown(card))


def _within(model: OnnxModel, inputs: Arrays, seconds: float) -> tuple[Arrays, Arrays]:
    """As many of the rows as there is time for, and the answers to them, but for outputs that are too large."""
    begun, parts, at = time.monotonic(), [], 0
    rows = len(next(iter(inputs.values())))
    one = model({name: array[:1] for name, array in inputs.items()})
    watched = [name for name, array in one.items() if array.size <= MOST_VALUES]
    while watched and at < rows and (not at or time.monotonic() - begun < seconds):
        parts.append(model({name: array[at : at + BATCH] for name, array in inputs.items()}, watched))
        at += BATCH
    return {name: array[:at] for name, array in inputs.items()}, joined(parts) if parts else {}


def _write_reference(product: Product, manifest: Manifest, splits: Splits, model: OnnxModel, out: Path) -> None:
    """What the monitor compares live traffic with: inputs and answers of rows that trained. A model that the monitor
    cannot watch has none.
    """
    every = max(1, int(manifest.rows * splits.train) // REFERENCE_ROWS)
    some = table(manifest, splits, Part.TRAIN, every=every, most=REFERENCE_ROWS)
    inputs, outputs = _within(model, asking.cases(product, some).inputs, REFERENCE_WITHIN)
    arrays = {f"input:{name}": array for name, array in inputs.items()}
    arrays |= {f"output:{name}": array for name, array in outputs.items()}
    try:
        request = references.from_arrays(arrays, "rows that trained it")
    except BmaseError:
        return
    (out / REFERENCE).write_bytes(request.SerializeToString())
