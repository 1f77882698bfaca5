"""Runs the members on held-out rows, weighs them, judges the whole on rows that took no part, and merges.

The rows of validation choose the weights, those of test give the verdict. Members must have been trained on neither:
where they were trained on the same data with the same splits, both parts are new to them. Their records say whether
that is so (`lineage`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
from bmase.training import Batch, Product, Run
from bmase.training.run import TEST

from services.kit.errors import InvalidArgument, Violation
from services.trainer.ensembles import agreement, onnxfiles
from services.trainer.ensembles.adapt import Columns, Intake, adapted, inputs_of, intake, output_of
from services.trainer.ensembles.beside import side_by_side
from services.trainer.ensembles.members import Member, refused
from services.trainer.ensembles.merge import merge
from services.trainer.ensembles.provenance import Finding, warnings
from services.trainer.ensembles.provenance import refusal as refusal_of
from services.trainer.ensembles.rows import Kind, Rows
from services.trainer.ensembles.tuning import Policy, Report, tune
from services.trainer.recipes.ensemble import judging, lineage, rows
from services.trainer.recipes.ensemble.figures import not_better, table
from services.trainer.recipes.ensemble.recipe import EnsembleParameters
from services.trainer.recipes.recipe import AloneRun, Material

MODEL = "model.onnx"
CHECKED_BATCHES = 4


def main(run: Run) -> None:
    """See `Recipe.main`; raises ENSEMBLE_CONTAMINATED for members that were trained on the rows of validation or test,
    and ENSEMBLE_NOT_BETTER unless the test rows say that it is, or it is forced. Warnings and figures are printed.
    """
    assert isinstance(run, AloneRun)
    asked = EnsembleParameters.model_validate(dict(run.parameters))
    members = _read(run.materials, asked)
    found = lineage.findings(run, asked)
    refusal = refusal_of(found)
    if refusal and not asked.force:
        raise refusal
    for warning in warnings(found):
        print(f"warning: {warning}")
    trial = _Trial(run, asked, members)
    report = trial.judged()
    if not report.accepted:
        for name, said in table(report, found).items():
            print(f"{name}: {said}")
        raise not_better(report)
    run.finish(trial.product(report, found))


class _Trial:
    """The members in one form, and the rows that they are asked."""

    def __init__(self, run: AloneRun, asked: EnsembleParameters, members: Sequence[Member]) -> None:
        described = {material.name: rows.described(material.folder) for material in run.materials}
        self._run, self._asked = run, asked
        self._named = rows.classes_of(described, asked.classes) if asked.task == "classification" else ()
        known = [column.name for column in run.source().columns]
        for field in ("target", "group"):
            named = getattr(asked, field)
            if named and named not in known:
                why = f"the data have no column {named!r}; there are: {', '.join(known)}"
                raise InvalidArgument([Violation(f'job.parameters["{field}"]', why)])
        takes = {member.name: list(inputs_of(member)) for member in members}
        columns = rows.columns_of(takes, described, asked.inputs, known)
        self.taken: Intake = intake(members, columns)
        own = [
            output_of(member, asked.outputs.get(name, asked.output))
            for name, member in zip(asked.members, members, strict=True)
        ]
        self.output = _called(asked, [port.name for port in own], self.taken)
        self.members = [
            adapted(m, self.taken, columns[m.name], port, self.output) for m, port in zip(members, own, strict=True)
        ]
        self._done = 0  # rows

    def judged(self) -> Report:
        """The weights and the verdict."""
        kind = Kind.PROBABILITIES if self._asked.task == "classification" else Kind.NUMBERS
        policy = Policy(confidence=self._asked.confidence, min_gain=self._asked.min_gain, seed=self._run.seed)
        report = tune(
            self._rows(lineage.weighing(self._asked)), self._rows((TEST,)), kind, policy, force=self._asked.force
        )
        self._run.report(self._done, message=report.sentence, loss=report.loss.mean)
        return report

    def _rows(self, parts: Sequence[str]) -> Rows:
        """What all members say of the parts' rows, and the truth."""
        sessions = {member.name: _session(member, self._run.threads) for member in self.members}
        target, group = self._asked.target, self._asked.group
        said: dict[str, list[np.ndarray]] = {name: [] for name in sessions}
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        for batch in self._batches(parts):
            feeds = self._feeds(batch)
            for member in self.members:
                said[member.name].append(_chances(_asked(sessions[member.name], self.output, feeds, member), member))
            kept.append((np.asarray(batch[target]), np.asarray(batch[group or target])))
            self._done += len(kept[-1][0])
            self._run.report(self._done, message=f"asking {len(sessions)} members about the rows of {parts[-1]}")
        if not kept:
            why = f"they leave no rows for {' and '.join(parts)}; an ensemble needs rows that no member was trained on"
            raise InvalidArgument([Violation("job.splits", why)])
        labels, groups = (np.concatenate(column) for column in zip(*kept, strict=True))
        found = {name: np.concatenate(answers) for name, answers in said.items()}
        return Rows(found, self._truth(labels), groups if group else None)

    def _truth(self, values: np.ndarray) -> np.ndarray:
        asked = self._asked
        return rows.truth(values, asked.classes, self._named) if asked.task == "classification" else values

    def _feeds(self, batch: Batch) -> dict[str, np.ndarray]:
        return {port.name: rows.fed(port, columns, batch) for columns, port in self.taken.ports.items()}

    def _batches(self, parts: Sequence[str]) -> Iterator[Batch]:
        """In order, each row once."""
        fed = {column for columns in self.taken.ports for column in columns}
        wanted = sorted(fed | {self._asked.target} | ({self._asked.group} if self._asked.group else set()))
        for part in parts:
            yield from self._run.rows(part, wanted, batch=self._asked.batch, shard=False)

    def product(self, report: Report, found: Mapping[str, Finding]) -> Product:
        """The merged model, proved equal to its members' average, with what speaks for it."""
        weighed = [replace(member, weight=report.weights[member.name]) for member in self.members]
        folder = self._run.folder / "product"
        folder.mkdir()
        document = report.document() | {"lineage": {name: asdict(each) for name, each in found.items()}}
        product = partial(
            Product,
            folder,
            evidence={"ensemble.json": self._run.folder / "ensemble.json"},
            description=f"Ensemble of {', '.join(name for name, weight in report.weights.items() if weight)}",
            notes=table(report, found),
        )
        if self._asked.method == "triton":
            made = self._beside(weighed, folder, product)
        else:
            document["largest_difference"] = self._merged(weighed, folder)
            made = product(
                task=self._asked.task,
                inputs={name: _plain(columns) for name, columns in self.taken.names().items()},
                target=self._asked.target,
                output=self.output,
                classes=self._named,
                cases=f"{judging.__name__}:cases",
            )
        made.evidence["ensemble.json"].write_text(json.dumps(document, indent=2, sort_keys=True))
        return made

    def _merged(self, weighed: Sequence[Member], folder: Path) -> Mapping[str, float]:
        merged = merge(weighed, [self.output])
        some = [self._feeds(batch) for batch in islice(self._batches((TEST,)), CHECKED_BATCHES)]
        found = agreement.differences(merged, weighed, some)
        agreement.require(found)
        judging.note(merged, self.taken.names(), self._asked, self._named)
        onnxfiles.write(merged, folder / MODEL)
        return found

    def _beside(self, weighed: Sequence[Member], folder: Path, product: Callable[..., Product]) -> Product:
        """Not evaluated again by whoever runs the job: that asks ONNX files alone."""
        for path, content in side_by_side(weighed).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        return product()


def _read(materials: Sequence[Material], asked: EnsembleParameters) -> list[Member]:
    names = [material.name for material in materials]
    if len(set(names)) < len(names):
        why = f"two of them are the same version: {', '.join(names)}"
        raise InvalidArgument([Violation('job.parameters["members"]', why)])
    for material in materials:
        if not (material.folder / MODEL).is_file():
            raise refused(material.name, f"it has no {MODEL}, and only ONNX can be merged", "convert it first")
    logits = asked.logits_of(asked.members)
    models = onnxfiles.read({material.name: material.folder / MODEL for material in materials})
    return [
        Member(name, models[name], 1.0 / len(names), logits=given in logits)
        for name, given in zip(names, asked.members, strict=True)
    ]


def _session(member: Member, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            member.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own types are not public
        raise refused(member.name, f"it cannot be run: {' '.join(str(error).split())[:300]}", "") from error


def _asked(
    session: onnxruntime.InferenceSession, output: str, feeds: Mapping[str, np.ndarray], member: Member
) -> np.ndarray:
    try:
        return np.asarray(session.run([output], dict(feeds))[0])
    except Exception as error:  # onnxruntime's own types are not public
        raise refused(member.name, f"it fails on the rows: {' '.join(str(error).split())[:300]}", "") from error


def _chances(output: np.ndarray, member: Member) -> np.ndarray:
    flat = output.reshape(len(output), -1).astype(np.float64)
    return agreement.probabilities(flat) if member.logits else flat


def _called(asked: EnsembleParameters, own: Sequence[str], taken: Intake) -> str:
    """The output of the whole: as that of the first member which gives what the whole gives."""
    logits = asked.logits_of(asked.members)
    fitting = [name for member, name in zip(asked.members, own, strict=True) if member not in logits]
    name = (fitting or ["probabilities"])[0]
    return f"{name}_average" if name in taken.names() else name


def _plain(columns: Columns) -> str | Columns:
    return columns[0] if len(columns) == 1 else columns
