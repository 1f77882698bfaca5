"""A version against its reproduction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.data import Splits
from services.trainer.reproduce.determinism import Determinism, Plan
from services.trainer.reproduce.record import Data
from services.trainer.reproduce.runs import Run, read_run
from services.trainer.reproduce.tolerance import Bound, Tolerance
from services.trainer.reproduce.verdict import MAX_TOLD, Evidence, Outcome, Verdict, judge
from tests.unit.trainer.reproduce.models import WEIGHTS, Array, model, save_safetensors
from tests.unit.trainer.reproduce.recorded import digest, lock, manifest, record

LOSS = {"loss": {1: 0.5, 2: 0.25}}
ANSWERS = {"scores": np.linspace(0, 1, 8).reshape(4, 2)}
WIDE = Tolerance(
    weights=Bound(absolute=0.1), series=Bound(absolute=0.1), outputs=Bound(absolute=0.1), judged_by_outputs=("*.ubj",)
)


def run(folder: Path, weights: Mapping[str, Array] = WEIGHTS, **fields: Any) -> Run:
    folder.mkdir(exist_ok=True)
    onnx.save(model(weights, **({"last": fields.pop("last")} if "last" in fields else {})), folder / "model.onnx")
    (folder / "labels.txt").write_text("a\nb\n")
    made = read_run(folder, ["model.onnx", "labels.txt"], record(), LOSS, ANSWERS)
    return replace(made, **fields)


def moved(by: float, name: str = "fc.weight", where: tuple[int, ...] = (1, 2)) -> dict[str, Array]:
    weights = {key: array.copy() for key, array in WEIGHTS.items()}
    weights[name][where] += by
    return weights


def between(sides: Sequence[Run], tolerance: Tolerance) -> Verdict:
    before, now = sides
    return judge(before, now, tolerance)


def other_file(run: Run, path: str, new: str | None = None) -> Run:
    return replace(run, files={**run.files, path: new or digest("f")})


def test_equal_digests_are_identical(tmp_path: Path) -> None:
    verdict = judge(run(tmp_path / "a"), run(tmp_path / "b"), Tolerance())
    assert (verdict.outcome, verdict.first, verdict.files, verdict.changes) == (Outcome.IDENTICAL, None, (), ())
    assert verdict.sentence == "The reproduction is identical: all 2 files have the same digest."


def test_identical_models_whose_records_or_answers_differ_are_identical_and_it_is_told(tmp_path: Path) -> None:
    other = run(tmp_path / "b", record=record(seed=8), outputs={"scores": ANSWERS["scores"] + 1})
    verdict = judge(run(tmp_path / "a"), other, Tolerance())
    assert verdict.outcome is Outcome.IDENTICAL
    assert "yet output scores[" in verdict.sentence
    assert verdict.sentence.endswith("in its record, seed was 7 and is 8.")


def test_within_the_tolerance_they_are_equal_with_the_greatest_difference(tmp_path: Path) -> None:
    near = run(tmp_path / "b", moved(0.0625), series={"loss": {1: 0.5, 2: 0.26}})
    verdict = judge(run(tmp_path / "a"), near, WIDE)
    assert (verdict.outcome, verdict.divergences) == (Outcome.EQUAL, ())
    assert (verdict.weights.count, verdict.weights.unequal) == (5, 1)
    assert verdict.weights.absolute is not None
    assert (verdict.weights.absolute.name, verdict.weights.absolute.absolute_at) == ("fc.weight", (1, 2))
    assert verdict.first is not None
    assert (verdict.first.evidence, verdict.first.where) == (Evidence.SERIES, "loss")
    assert "the greatest difference of weights is 0.0625 at fc.weight[1, 2]" in verdict.sentence


def test_other_bytes_with_equal_tensors_are_equal(tmp_path: Path) -> None:
    before = run(tmp_path / "a")
    made = model()
    made.producer_name = "another"
    onnx.save(made, tmp_path / "a/model.onnx")
    now = read_run(tmp_path / "a", ["model.onnx", "labels.txt"], record(), LOSS, ANSWERS)
    verdict = judge(before, now, Tolerance())
    assert verdict.outcome is Outcome.EQUAL
    assert "other bytes, but no tensor and no output differs" in verdict.sentence


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_beyond_the_tolerance_the_first_step_is_told_before_the_weights(tmp_path: Path, value: float) -> None:
    far = run(tmp_path / "b", moved(value), series={"loss": {1: 0.5, 2: value + 0.25}})
    verdict = judge(run(tmp_path / "a"), far, WIDE)
    assert verdict.outcome is Outcome.DIFFERENT
    assert [each.evidence for each in verdict.divergences] == [Evidence.SERIES, Evidence.WEIGHTS]
    assert "different: loss parts at step 2 (0.25, now" in verdict.sentence
    assert verdict.sentence.endswith("the records are the same, so the cause is something that they do not hold.")
    written = verdict.model_dump_json()
    assert Verdict.model_validate_json(written).model_dump_json() == written


def test_nan_on_both_sides_is_equal(tmp_path: Path) -> None:
    weights = moved(math.nan)
    before, now = run(tmp_path / "a", weights), run(tmp_path / "b", {**weights, "fc.bias": WEIGHTS["fc.bias"] + 0.01})
    assert judge(before, now, WIDE).outcome is Outcome.EQUAL


def test_another_graph_is_different_and_its_first_node_named(tmp_path: Path) -> None:
    verdict = judge(run(tmp_path / "a"), run(tmp_path / "b", last="Tanh"), WIDE)
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.first is not None
    assert (verdict.first.evidence, verdict.first.where) == (Evidence.GRAPH, "node 1:act (Relu)")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({**WEIGHTS, "fc.bias": np.ones(4, np.float64)}, "type float32 and float64"),
        ({**WEIGHTS, "fc.bias": np.ones((1, 4), np.float32)}, "shape (4,) and (1, 4)"),
        ({**WEIGHTS, "more": np.ones(1, np.float32)}, "more is added"),
    ],
)
def test_other_tensors_are_different_though_weights_are_not_judged(
    tmp_path: Path, weights: Mapping[str, Array], said: str
) -> None:
    before = save_and_read(tmp_path / "a", WEIGHTS)
    now = replace(before, files={"m.safetensors": digest("f")}, weights={"m.safetensors": weights})
    verdict = judge(before, now, Tolerance(weights=None, outputs=Bound()))
    assert verdict.outcome is Outcome.DIFFERENT
    assert said in verdict.sentence


def save_and_read(folder: Path, weights: Mapping[str, Array]) -> Run:
    folder.mkdir()
    save_safetensors(folder / "m.safetensors", weights)
    return read_run(folder, ["m.safetensors"], record(), LOSS, ANSWERS)


def test_weights_that_are_not_judged_are_left_to_the_outputs(tmp_path: Path) -> None:
    before, now = save_and_read(tmp_path / "a", WEIGHTS), save_and_read(tmp_path / "b", moved(99.0))
    by_outputs = Tolerance(weights=None, outputs=Bound(absolute=0.1))
    assert judge(before, now, WIDE).outcome is Outcome.DIFFERENT
    verdict = judge(before, now, by_outputs)
    assert verdict.outcome is Outcome.EQUAL
    assert verdict.weights.absolute is not None  # told all the same
    far = replace(now, outputs={"scores": ANSWERS["scores"] + 0.2})
    assert judge(before, far, by_outputs).outcome is Outcome.DIFFERENT


def test_with_nothing_to_judge_by_it_is_different(tmp_path: Path) -> None:
    before, now = save_and_read(tmp_path / "a", WEIGHTS), save_and_read(tmp_path / "b", moved(0.01))
    verdict = judge(before, now, Tolerance(weights=None, outputs=None))
    assert verdict.outcome is Outcome.DIFFERENT
    assert "neither weights nor outputs are judged" in verdict.sentence
    silent = [replace(each, outputs={}) for each in (before, now)]
    assert between(silent, Tolerance(weights=None)).outcome is Outcome.DIFFERENT


def test_a_file_that_cannot_be_compared_must_be_the_same_or_left_to_outputs(tmp_path: Path) -> None:
    before, now = run(tmp_path / "a"), run(tmp_path / "b")
    verdict = judge(before, other_file(now, "labels.txt"), WIDE)
    assert verdict.outcome is Outcome.DIFFERENT
    assert "labels.txt has another digest, and what is in it cannot be compared" in verdict.sentence
    assert digest("f") in verdict.sentence
    trees = [other_file(each, "trees.ubj", digest(letter)) for each, letter in ((before, "1"), (now, "2"))]
    assert between(trees, WIDE).outcome is Outcome.EQUAL
    silent = [replace(each, outputs={}) for each in trees]
    assert "there are no outputs to judge it by" in between(silent, WIDE).sentence


@pytest.mark.parametrize("side", ["version", "reproduction"])
def test_a_file_or_an_output_of_one_side_only_is_different(tmp_path: Path, side: str) -> None:
    sides = [run(tmp_path / "a"), run(tmp_path / "b")]
    at = ["version", "reproduction"].index(side)
    more = [other_file(each, "more.ubj") if place == at else each for place, each in enumerate(sides)]
    assert f"more.ubj is only in the {side}" in between(more, WIDE).sentence
    sides[1] = other_file(sides[1], "model.onnx")
    silent = [replace(each, outputs={}) if place == at else each for place, each in enumerate(sides)]
    assert between(silent, WIDE).outcome is Outcome.DIFFERENT


def test_data_beside_a_model_are_judged_by_its_tensors(tmp_path: Path) -> None:
    runs = []
    for name, weights in (("a", WEIGHTS), ("b", moved(0.01)), ("c", moved(9.0))):
        (tmp_path / name / "1").mkdir(parents=True)
        path = tmp_path / name / "1/model.onnx"
        onnx.save(model(weights), path, save_as_external_data=True, location="data.bin", size_threshold=0)
        runs.append(read_run(tmp_path / name, ["1/model.onnx", "1/data.bin"], record()))
    assert [file.path for file in judge(runs[0], runs[1], WIDE).files] == ["1/data.bin"]
    assert judge(runs[0], runs[1], WIDE).outcome is Outcome.EQUAL
    assert judge(runs[0], runs[2], WIDE).outcome is Outcome.DIFFERENT


def test_with_several_models_a_tensor_is_named_with_its_file(tmp_path: Path) -> None:
    before = save_and_read(tmp_path / "a", WEIGHTS)
    twice = [
        replace(before, files={"x": digest("1"), "y": each}, weights={"x": WEIGHTS, "y": tensors})
        for each, tensors in ((digest("2"), WEIGHTS), (digest("3"), moved(9.0)))
    ]
    assert "weight y: fc.weight[1, 2] differs by 9" in between(twice, WIDE).sentence


def test_outputs_name_the_row(tmp_path: Path) -> None:
    scores = ANSWERS["scores"].copy()
    scores[2, 1] = math.nan
    now = other_file(run(tmp_path / "b", outputs={"scores": scores}), "model.onnx")
    verdict = judge(run(tmp_path / "a"), now, WIDE)
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.outputs.gaps[0].first == (2, 1)
    assert "output scores[2, 1] differs by inf" in verdict.sentence


TAMPERED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a package": ({"environment": lock(*(
        each.model_copy(update={"content": digest("9")}) if each.name == "torch" else each for each in lock().packages
    ))}, ["package torch", digest("2"), digest("9")]),
    "a data file": ({"data": {"data": Data(manifest=manifest("e"), splits=Splits())}},
                    ["file:///data/one.csv", "a" * 64, "e" * 64]),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_named_with_both_digests(tmp_path: Path, what: str) -> None:
    fields, said = TAMPERED[what]
    far = run(tmp_path / "b", moved(9.0), record=record(**fields))
    verdict = judge(run(tmp_path / "a"), far, WIDE)
    assert verdict.outcome is Outcome.DIFFERENT
    assert [text for text in said if text not in verdict.sentence] == []
    assert (verdict.before, verdict.now) == (record().digest, record(**fields).digest)


def test_determinism_that_lacked_is_told_where_nothing_else_differs(tmp_path: Path) -> None:
    lacking = record(determinism=Determinism(plan=Plan(seed=7), unmet=("MKL_CBWR was not set",)))
    before, now = run(tmp_path / "a", record=lacking), run(tmp_path / "b", moved(9.0), record=lacking)
    assert judge(before, now, WIDE).sentence.endswith("the records are the same, but MKL_CBWR was not set.")


def test_of_many_gaps_some_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    before = save_and_read(tmp_path / "a", WEIGHTS)
    many = {f"w{number}": np.zeros(1) for number in range(MAX_TOLD + 8)}
    apart = {name: array + (name == "w39") + 0.01 for name, array in many.items()}
    sides = [
        replace(before, files={"m": digest(letter)}, weights={"m": weights})
        for letter, weights in (("1", many), ("2", apart))
    ]
    verdict = between(sides, WIDE)
    assert (verdict.weights.unequal, len(verdict.weights.gaps)) == (MAX_TOLD + 8, MAX_TOLD)
    assert verdict.weights.gaps[0].name == "w39"  # the one beyond the bound


def test_a_run_without_files_is_refused(tmp_path: Path) -> None:
    whole = run(tmp_path / "a")
    with pytest.raises(InvalidArgument, match=r"now\.files"):
        judge(whole, replace(whole, files={}), Tolerance())
