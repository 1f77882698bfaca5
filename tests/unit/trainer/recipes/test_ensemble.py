"""Ensembles of small ONNX members, on rows whose truth is known."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from bmase import sources
from bmase.reasons import Reason
from bmase.training import Product
from onnx import TensorProto, helper, numpy_helper

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import Splits
from services.trainer.engine import alone, packing
from services.trainer.engine.attempt import Attempt
from services.trainer.engine.registering import Made
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.ensemble import rows as fed_rows
from services.trainer.recipes.ensemble.train import main
from services.trainer.recipes.recipe import Place
from services.trainer.reproduce.record import Data
from tests.support.alone import Alone
from tests.unit.trainer.ensembles.court import drawn, softmax
from tests.unit.trainer.jobs.jobs import spec
from tests.unit.trainer.reproduce.recorded import manifest, record

VIEWS, CLASSES = 3, 3
Table = dict[str, dict[str, np.ndarray]]


def data(rows: int = 600, noise: float = 1.0) -> Table:
    """Classes drawn from true logits; the column x has `VIEWS` noisy views of them side by side."""
    parts = {}
    for seed, part in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(rows, CLASSES)) * 2
        seen = [logits + noise * rng.normal(size=logits.shape) for _ in range(VIEWS)]
        parts[part] = {"x": np.concatenate(seen, axis=1).astype(np.float32), "label": drawn(softmax(logits), rng)}
    return parts


def member(folder: Path, view: int, **more: Any) -> Path:
    """Sees one view; `shape` and `element` of its input, and names, may be its own."""
    takes, gives = more.get("takes", "x"), more.get("gives", "probabilities")
    shape, element = more.get("shape", [VIEWS * CLASSES]), more.get("element", TensorProto.FLOAT)
    pick = np.zeros((VIEWS * CLASSES, CLASSES), np.float32)
    pick[view * CLASSES : (view + 1) * CLASSES] = np.eye(CLASSES)
    nodes = [
        helper.make_node("Cast", [takes], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["cast", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "pick"], [gives if more.get("logits") else "logits"]),
    ]
    if not more.get("logits"):
        nodes.append(helper.make_node("Softmax", ["logits"], [gives], axis=-1))
    nodes.append(helper.make_node("ArgMax", [gives], ["label"], axis=-1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "member",
        [helper.make_tensor_value_info(takes, element, ["N", *shape])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info(gives, TensorProto.FLOAT, ["N", more.get("classes", CLASSES)]),
        ],
        [numpy_helper.from_array(np.array([-1, VIEWS * CLASSES]), "flat"), numpy_helper.from_array(pick, "pick")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return folder


Make = Callable[..., Alone]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run of members, each given as what is its own."""

    def made(*members: dict[str, Any], rows: Table | None = None, **parameters: Any) -> Alone:
        versions = {f"m@{n}": member(tmp_path / f"m{n}", n % VIEWS, **own) for n, own in enumerate(members)}
        (tmp_path / "run").mkdir()
        asked = {"members": tuple(versions), "target": "label", **parameters}
        return Alone(tmp_path / "run", rows or data(), versions, **by_name("ensemble").check(asked).model_dump())

    return made


def product_of(run: Alone) -> tuple[Any, dict[str, Any], onnxruntime.InferenceSession]:
    assert run.product is not None
    document = json.loads(run.product.evidence["ensemble.json"].read_text())
    return run.product, document, onnxruntime.InferenceSession(run.product.folder / "model.onnx")


def test_members_that_err_by_themselves_become_a_better_version(make: Make) -> None:
    run = make({}, {}, {})
    main(run)
    product, document, session = product_of(run)
    assert (product.task, dict(product.inputs), product.target) == ("classification", {"x": "x"}, "label")
    assert (product.output, document["verdict"]) == ("probabilities", "better")
    assert sum(document["weights"].values()) == pytest.approx(1)
    assert all(each["gain"]["lower"] > 0 for each in document["members"].values())
    said = product.notes
    assert {"member m@0", "member m@1", "member m@2", "ensemble"} <= said.keys()
    # The version answers with what was judged.
    test = data()["test"]
    (answer,) = session.run(["probabilities"], {"x": test["x"]})
    loss = -np.log(answer[np.arange(len(answer)), test["label"]]).mean()
    assert loss == pytest.approx(document["loss"]["mean"], rel=1e-4)
    assert document["largest_difference"]["probabilities"] < 1e-6


def test_members_of_other_names_shapes_and_types_are_brought_together(make: Make) -> None:
    run = make(
        {},
        {"takes": "picture", "shape": [1, 3, 3], "gives": "chances"},
        {"takes": "wide", "element": TensorProto.DOUBLE, "logits": True},
        inputs={"picture": "x", "wide": "x"},
        logits=("m@2",),
    )
    main(run)
    product, document, session = product_of(run)
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [("x", [9])]
    weights = document["weights"]
    x = data()["test"]["x"]
    expected = sum(weight * softmax(x[:, 3 * n : 3 * n + 3]) for n, weight in enumerate(weights.values()))
    np.testing.assert_allclose(session.run([product.output], {"x": x})[0], expected, atol=1e-6)


def test_the_version_is_judged_on_rows_in_the_form_of_the_data(make: Make) -> None:
    run = make({"takes": "picture", "shape": [1, 3, 3]}, {}, {}, inputs={"picture": "x"})
    main(run)
    product, _, session = product_of(run)
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [("picture", [1, 3, 3])]
    module, _, function = product.cases.partition(":")
    test = data()["test"]
    asked = getattr(importlib.import_module(module), function)(test, product.folder)
    assert asked.inputs["picture"].shape == (600, 1, 3, 3)
    np.testing.assert_array_equal(asked.truth["labels"], test["label"])


def test_averages_of_logits_are_called_what_they_are(make: Make) -> None:
    own = {"logits": True, "gives": "logits"}
    run = make(own, own, own, logits="all")
    main(run)
    assert product_of(run)[0].output == "probabilities"


def test_numbers_are_averaged_as_well(make: Make) -> None:
    rows = data()
    for part in rows.values():
        part["label"] = part["x"].reshape(-1, 3, 3).mean(axis=1)
    own = {"logits": True, "gives": "numbers"}
    run = make(own, own, own, rows=rows, task="regression")
    main(run)
    product, document, _ = product_of(run)
    assert (product.task, document["kind"], document["verdict"]) == ("regression", "numbers", "better")
    assert document["weights"]["m@0"] == pytest.approx(1 / 3, abs=0.05)


def test_members_side_by_side_are_a_directory_for_triton(make: Make) -> None:
    run = make({}, {"logits": True}, {"takes": "X"}, inputs={"X": "x"}, logits=("m@1",), method="triton")
    main(run)
    assert run.product is not None
    assert run.product.task == ""
    folder = run.product.folder
    plan = json.loads((folder / "1/members.json").read_text())
    assert (plan["inputs"], plan["output"]) == (["x"], "probabilities")
    assert [(m["name"], m["logits"]) for m in plan["members"]] == [("m@0", False), ("m@1", True), ("m@2", False)]
    paths = {s.path: s.role for s in sources.collect([folder])}
    assert paths.keys() == {"config.pbtxt", "model.py", "members.json", *(m["file"] for m in plan["members"])}


def test_members_that_see_other_columns_take_them_all(make: Make) -> None:
    rows = {
        part: {**{f"c{n}": whole["x"][:, n] for n in range(9)}, "x": whole["x"], "label": whole["label"]}
        for part, whole in data().items()
    }
    columns = tuple(f"c{n}" for n in range(9))
    run = make({}, {"takes": "features"}, {}, rows=rows, inputs={"features": columns})
    main(run)
    product, _, session = product_of(run)
    assert {i.name for i in session.get_inputs()} == {"x", "features"}
    assert dict(product.inputs) == {"x": "x", "features": columns}


def described(folder: Path, inputs: Any, classes: Any = ()) -> None:
    """As the registration of a training leaves it."""
    (folder / "evidence").mkdir()
    said = {"task": "classification", "inputs": inputs, "classes": classes}
    (folder / "evidence/product.json").write_text(json.dumps(said))


def by_columns() -> Table:
    return {
        part: {**{f"c{n}": whole["x"][:, n] for n in range(9)}, "label": whole["label"]}
        for part, whole in data().items()
    }


def test_members_say_themselves_which_columns_feed_them(make: Make, tmp_path: Path) -> None:
    run = make({"takes": "numbers"}, {"takes": "numbers"}, rows=by_columns())
    columns = [f"c{n}" for n in range(9)]
    turned = [*columns[3:], *columns[:3]]  # of the same name, and of another order
    for n, own in enumerate((columns, turned)):
        described(tmp_path / f"m{n}", {"numbers": own})
    main(run)
    product, document, session = product_of(run)
    assert dict(product.inputs) == {"numbers": tuple(columns), "numbers_2": tuple(turned)}
    x = data()["test"]["x"]
    one, other = document["weights"].values()
    expected = one * softmax(x[:, :3]) + other * softmax(x[:, 6:])  # the second sees places 3 to 5 of its own order
    fed = {"numbers": x, "numbers_2": np.roll(x, -3, axis=1)}
    np.testing.assert_allclose(session.run([product.output], fed)[0], expected, atol=1e-6)


def test_what_is_asked_for_goes_before_what_a_member_says(make: Make, tmp_path: Path) -> None:
    rows = {part: {**whole, "wide": whole["x"]} for part, whole in data().items()}
    run = make({}, {}, {}, rows=rows, inputs={"x": "x"})
    described(tmp_path / "m0", {"x": ["wide"]})
    main(run)
    assert dict(product_of(run)[0].inputs) == {"x": "x"}


@pytest.mark.parametrize("inputs", [["x"], {"x": 1}, {"x": []}, None])
def test_a_description_that_is_none_says_nothing(make: Make, tmp_path: Path, inputs: Any) -> None:
    run = make({}, {}, {})
    described(tmp_path / "m0", inputs)
    main(run)
    assert dict(product_of(run)[0].inputs) == {"x": "x"}


def test_a_described_column_that_the_data_lack_is_named(make: Make, tmp_path: Path) -> None:
    run = make({"takes": "numbers"}, {"takes": "numbers"}, rows=by_columns())
    for n in range(2):
        described(tmp_path / f"m{n}", {"numbers": ["c0", "age"]})
    with pytest.raises(InvalidArgument) as caught:
        main(run)
    (violation,) = caught.value.violations
    assert violation.field == 'job.parameters["inputs.numbers"]'
    assert "no column 'age'" in violation.description


def test_the_registration_keeps_what_members_say(tmp_path: Path) -> None:
    product = Product(
        member(tmp_path / "made", 0),
        task="classification",
        inputs={"numbers": ("a", "b"), "kind": "kind"},
        target="y",
        classes=("no", "yes"),
    )
    packing.pack(product, tmp_path / "product.tar")
    packing.unpack(tmp_path / "product.tar", tmp_path / "product")
    (tmp_path / "papers").mkdir()
    for source in Made(tmp_path / "product", tmp_path / "papers").files:
        laid = tmp_path / "version" / source.path
        laid.parent.mkdir(parents=True, exist_ok=True)
        laid.write_bytes(source.local.read_bytes())
    found = fed_rows.described(tmp_path / "version")
    assert (found.inputs, found.classes) == ({"numbers": ("a", "b"), "kind": ("kind",)}, ("no", "yes"))


def recorded(folder: Path, splits: Splits | None) -> None:
    """As a training on the rows of `manifest()` leaves it."""
    (folder / "evidence").mkdir()
    (folder / "evidence/record.json").write_text(
        record(data={"data": Data(manifest=manifest(), splits=splits)}).to_json()
    )


def test_members_that_were_kept_from_these_rows_are_said_to_be(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make({}, {})
    run.lies_in(manifest(), Splits())
    for n in range(2):
        recorded(tmp_path / f"m{n}", Splits())
    main(run)
    product, document, _ = product_of(run)
    assert [each["standing"] for each in document["lineage"].values()] == ["clean", "clean"]
    assert product.notes["lineage of m@0"].startswith("clean: ")
    assert "warning" not in capsys.readouterr().out


def test_a_member_without_a_record_is_a_warning_that_is_kept(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make({}, {}, {})
    run.lies_in(manifest(), Splits())
    recorded(tmp_path / "m0", Splits())
    recorded(tmp_path / "m1", Splits())
    (tmp_path / "m1/evidence/record.json").write_text("{}")
    main(run)
    product, document, _ = product_of(run)
    assert {name: each["standing"] for name, each in document["lineage"].items()} == {
        "m@0": "clean", "m@1": "unknown", "m@2": "unknown"
    }  # fmt: skip
    assert product.notes["lineage of m@2"].startswith("unknown: it has no record of its training")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: member m@1 is not known to be new to these rows: its record cannot be used")
    assert second.startswith("warning: member m@2 is not known to be new to these rows: it has no record")


def test_a_member_that_was_trained_on_these_rows_is_refused(make: Make, tmp_path: Path) -> None:
    run = make({}, {})
    run.lies_in(manifest(), Splits())
    recorded(tmp_path / "m0", Splits())
    recorded(tmp_path / "m1", Splits(salt="mine"))
    with pytest.raises(DomainError, match=r"member m@1 is not new to these rows.* 80% .*salt 'mine'") as caught:
        main(run)
    assert caught.value.reason is Reason.ENSEMBLE_CONTAMINATED
    assert run.product is None


def test_force_makes_it_of_members_that_saw_these_rows_and_says_so(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make({}, {}, force=True)
    run.lies_in(manifest(), Splits())
    recorded(tmp_path / "m0", None)
    recorded(tmp_path / "m1", Splits())
    main(run)
    product, document, _ = product_of(run)
    assert document["lineage"]["m@0"]["standing"] == "contaminated"
    assert (document["lineage"]["m@0"]["weighing"], document["forced"]) == (1.0, True)
    assert product.notes["lineage of m@0"].startswith("contaminated: ")
    assert "warning: member m@0 is not new to these rows" in capsys.readouterr().out


def test_rows_held_out_of_nothing_are_not_believed(make: Make, tmp_path: Path) -> None:
    run = make({}, {}, tune_on="all")
    run.lies_in(manifest(), Splits(train=0.1, validation=0.45, test=0.45))
    recorded(tmp_path / "m0", Splits())
    with pytest.raises(DomainError, match="about 56% of the rows that judge and 100% of those that weigh"):
        main(run)


def test_the_engine_s_runs_know_their_files(tmp_path: Path) -> None:
    attempt = Attempt(
        job="j1",
        number=1,
        model="digits",
        spec=spec(split={"validation": 0.45, "test": 0.45}),
        main="a:b",
        place=Place.ALONE,
        parameters={},
        blobs=tmp_path.as_uri(),
    )
    run = alone._Run(attempt, {"data": manifest()}, tmp_path, lambda said: None)
    known = run.parted()
    assert known is not None
    assert (known[0], known[1].salt, known[1].test) == (manifest(), "", 0.45)
    assert run.parted("other") is None


def test_what_is_not_better_is_refused_with_the_figures(make: Make) -> None:
    run = make({}, {"shape": [9]}, rows=data(noise=0.0))
    with pytest.raises(DomainError, match="not") as caught:
        main(run)
    assert caught.value.reason is Reason.ENSEMBLE_NOT_BETTER
    assert caught.value.metadata is not None
    assert caught.value.metadata["verdict"] == "not_better"
    assert {"loss", "loss.m@0", "gain.m@1", "weight.m@1"} <= caught.value.metadata.keys()
    assert run.product is None


def test_force_makes_it_and_says_so(make: Make) -> None:
    run = make({}, {}, rows=data(noise=0.0), force=True)
    main(run)
    product, document, _ = product_of(run)
    assert (document["forced"], document["verdict"]) == (True, "not_better")
    assert "forced" in product.notes


def test_too_few_rows_are_no_evidence(make: Make) -> None:
    with pytest.raises(DomainError, match="too few rows"):
        main(make({}, {}, {}, rows=data(rows=60)))


def test_without_held_out_rows_the_splits_are_to_blame(make: Make) -> None:
    rows = data()
    rows.pop("validation")
    with pytest.raises(InvalidArgument) as caught:
        main(make({}, {}, rows=rows))
    assert caught.value.violations[0].field == "job.splits"


def test_all_rows_tune_where_no_member_was_trained_on_them(make: Make) -> None:
    run = make({}, {}, {}, tune_on="all")
    main(run)
    assert product_of(run)[1]["rows"] == [1200, 600]


def test_classes_are_told_by_name(make: Make) -> None:
    rows = data()
    for part in rows.values():
        part["label"] = np.array(["ant", "bee", "cat"])[part["label"]]
    with pytest.raises(InvalidArgument) as caught:
        main(make({}, {}, {}, rows=rows))
    assert caught.value.violations[0].field == 'job.parameters["classes"]'


def test_classes_that_are_named_are_those_of_the_product(make: Make) -> None:
    rows = data()
    for part in rows.values():
        part["label"] = np.array(["ant", "bee", "cat"], dtype=object)[part["label"]]
    run = make({}, {}, {}, rows=rows, classes=("ant", "bee", "cat"))
    main(run)
    assert product_of(run)[0].classes == ("ant", "bee", "cat")
    assert product_of(run)[1]["verdict"] == "better"


NAMES = ("2", "10", "cat")  # names of numbers may be numbers that are no places


@pytest.mark.parametrize("named", [True, False], ids=["names", "numbers"])
def test_classes_are_those_that_members_say(make: Make, tmp_path: Path, named: bool) -> None:
    rows = data()
    if named:
        for part in rows.values():
            part["label"] = np.array(NAMES, dtype=object)[part["label"]]
    run = make({}, {}, {}, rows=rows)
    described(tmp_path / "m1", {"x": "x"}, NAMES)
    main(run)
    product, document, _ = product_of(run)
    assert (product.classes, document["verdict"]) == (NAMES, "better")
    module, _, function = product.cases.partition(":")
    asked = getattr(importlib.import_module(module), function)(rows["test"], product.folder)
    np.testing.assert_array_equal(asked.truth["labels"], data()["test"]["label"])


@pytest.mark.parametrize("classes", [("10", "2", "cat"), ()])
def test_members_of_other_classes_are_not_weighed_by_the_wrong_truth(
    make: Make, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    run = make({}, {}, classes=classes)
    described(tmp_path / "m0", {"x": "x"}, NAMES)
    described(tmp_path / "m1", {"x": "x"}, ("ant", "bee", "dog"))
    with pytest.raises(InvalidArgument) as caught:
        main(run)
    (violation,) = caught.value.violations
    assert violation.field == 'job.parameters["classes"]'
    assert "in this order" in violation.description


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"shape": [8]}, "'m@1': it takes 'x' as FLOAT .*, 8.*and a member before it the same column as FLOAT .*, 9"),
        ({"classes": 4}, "'m@1'.*probabilities"),
        ({"element": TensorProto.STRING}, "'m@1': it takes 'x' as STRING"),
        ({"element": TensorProto.INT64}, "'m@1': it takes 'x' as INT64"),
    ],
)
def test_members_that_do_not_fit_are_named(make: Make, own: dict[str, Any], said: str) -> None:
    with pytest.raises((DomainError, InvalidArgument), match=said):
        main(make({}, own))


def test_logits_that_nobody_told_of_are_found(make: Make) -> None:
    with pytest.raises(InvalidArgument) as caught:
        main(make({}, {"logits": True}))
    assert "softmax" in caught.value.violations[0].description


def test_an_output_that_is_not_there(make: Make) -> None:
    with pytest.raises(DomainError, match=r"'m@0': it has no output 'scores' of fractions.*it gives 'label'"):
        main(make({}, {}, output="scores"))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"members": ("a@1",)}, "members"),
        ({"members": ("a@1", "a@1")}, "members"),
        ({"members": ("a@1", "b")}, "members"),
        ({"target": ""}, "target"),
        ({"method": "vote"}, "method"),
        ({"weights": [1]}, "weights"),
        ({"outputs": {"c@1": "y"}}, ""),
        ({"logits": ("c@1",)}, ""),
        ({"task": "regression", "classes": ("a",)}, ""),
    ],
)
def test_what_cannot_be_asked(parameters: dict[str, Any], field: str) -> None:
    asked = {"members": ("a@1", "b@stable"), "target": "y"} | parameters
    with pytest.raises(InvalidArgument) as caught:
        by_name("ensemble").check(asked)
    assert caught.value.violations[0].field.startswith(f'job.parameters["{field}')


def test_the_members_are_what_it_works_on() -> None:
    recipe = by_name("ensemble")
    parameters = recipe.check({"members": ["a@1", "b@stable"], "target": "y"})
    assert list(recipe.materials(parameters)) == ["a@1", "b@stable"]


def test_an_unknown_column_is_named_with_those_that_are_there(make: Make) -> None:
    with pytest.raises(InvalidArgument) as caught:
        main(make({}, {"takes": "pixels"}))
    (violation,) = caught.value.violations
    assert violation.field == 'job.parameters["inputs.pixels"]'
    assert "x, label" in violation.description
