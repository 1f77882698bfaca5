"""The record: what its digest is over, what happens when it is changed, and what two of them differ in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import Splits
from services.trainer.jobs.spec import Resources
from services.trainer.reproduce.changes import changes
from services.trainer.reproduce.determinism import Determinism, Plan
from services.trainer.reproduce.packages import Lock, Origin, Package
from services.trainer.reproduce.record import PARTS, Data, Record
from tests.unit.trainer.reproduce.recorded import code, digest, lock, manifest, record


def test_it_comes_back_from_json() -> None:
    made = record()
    assert Record.from_json(made.to_json()) == made
    assert Lock.from_json(made.environment.to_json()).digest == made.environment.digest


def test_the_order_in_which_things_were_found_does_not_matter() -> None:
    packages = lock().packages
    turned = record(environment=lock(*reversed(packages)), parameters={"layers": [64, 32], "rate": 0.1})
    assert turned.digest == record().digest


def test_data_elsewhere_and_archives_found_later_make_no_other_record() -> None:
    files = [file.model_copy(update={"uri": f"s3://kept/{file.sha256}"}) for file in manifest().files]
    moved = manifest().model_copy(update={"files": tuple(files)})
    found = [each.model_copy(update={"archives": (digest("9"),)}) for each in lock().packages]
    other = record(data={"data": Data(manifest=moved, splits=Splits())}, environment=lock(*found))
    assert other.digest == record().digest
    assert changes(record(), other) == ()


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        *most, last = path
        for step in most:
            document = document[step]
        assert document[last] != value
        document[last] = value

    return change


TAMPERINGS = {
    "data": put("data", "data", "manifest", "files", 0, "sha256", value="f" * 64),
    "splits": put("data", "data", "splits", "salt", value="other"),
    "code": put("code", "files", 0, "digest", value=digest("f")),
    "entry": put("code", "entry", value="digits.train:other"),
    "version": put("environment", "packages", 0, "version", value="2.4.5"),
    "content": put("environment", "packages", 0, "content", value=digest("f")),
    "python": put("environment", "python", value="3.11.8"),
    "seed": put("seed", value=8),
    "parameters": put("parameters", "rate", value=0.2),
    "resources": put("resources", "workers", value=2),
    "features": put("machine", "features", value=["avx"]),
    "threads": put("machine", "pools", 0, "threads", value=2),
    "determinism": put("determinism", "plan", "strict", value=False),
    "digest": put("digest", value=digest("f")),
}


@pytest.mark.parametrize("part", TAMPERINGS)
def test_whatever_is_changed_in_it_is_noticed(part: str) -> None:
    document = json.loads(record().to_json())
    TAMPERINGS[part](document)
    with pytest.raises(DomainError, match="the record says that its digest is") as caught:
        Record.from_json(json.dumps(document))
    assert caught.value.reason is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("seed", value=-1), "record.seed"),
        (put("environment", "packages", 0, "name", value="../numpy"), "record.environment.packages.0.name"),
        (put("code", "entry", value="os.system"), "record.code.entry"),
        (put("version", value=2), "record"),
    ],
)
def test_what_is_no_record_is_named(change: Callable[[Any], None], field: str) -> None:
    document = json.loads(record().to_json())
    change(document)
    with pytest.raises(InvalidArgument) as caught:
        Record.from_json(json.dumps(document))
    assert [violation.field for violation in caught.value.violations] == [field]


def test_more_than_a_record_and_less_are_refused() -> None:
    document = json.loads(record().to_json())
    for text in (json.dumps({**document, "more": 1}), json.dumps([]), "{", json.dumps({**document, "code": None})):
        with pytest.raises(InvalidArgument):
            Record.from_json(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, {"deep": -math.inf}]])
def test_parameters_are_json(value: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        record(parameters={"rate": value})


def other_numpy(**fields: Any) -> Lock:
    numpy, torch = lock().packages
    return lock(numpy.model_copy(update=fields), torch)


CHANGES: dict[str, tuple[dict[str, Any], str, str, list[str]]] = {
    "a data file": (
        {"data": {"data": Data(manifest=manifest("e"), splits=Splits())}},
        "data", "data", ["file:///data/one.csv", "a" * 64, "e" * 64],
    ),
    "splits": ({"data": {"data": Data(manifest=manifest())}}, "data", "data", ["splits were", "none"]),
    "code": ({"code": code("e")}, "code", "digits/train.py", [digest("c"), digest("e")]),
    "entry": ({"code": code(entry="digits.train:other")}, "code", "entry", ["digits.train:main", "digits.train:other"]),
    "parameter": ({"parameters": {"rate": 0.2, "layers": [64, 32]}}, "parameters", "rate", ["0.1", "0.2"]),
    "seed": ({"seed": 8}, "seed", "seed", ["7", "8"]),
    "package": ({"environment": other_numpy(content=digest("9"))}, "environment", "numpy", [digest("1"), digest("9")]),
    "version": ({"environment": other_numpy(version="2.4.5")}, "environment", "numpy", ["2.4.6", "2.4.5"]),
    "altered": ({"environment": other_numpy(altered=("numpy/a.py",))}, "environment", "numpy", ["numpy/a.py"]),
    "no package": ({"environment": lock(lock().packages[0])}, "environment", "torch", ["is gone", digest("2")]),
    "python": ({"environment": lock(python="3.11.8")}, "environment", "python", ["3.11.7", "3.11.8"]),
    "plan": (
        {"determinism": Determinism(plan=Plan(seed=7, strict=False))},
        "determinism", "plan.strict", ["True", "False"],
    ),
    "resources": ({"resources": Resources(workers=2)}, "resources", "workers", ["1", "2"]),
    "cpu": (
        {"machine": record().machine.model_copy(update={"features": ("avx",)})},
        "machine", "features", ["avx2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_named_with_both_sides(case: str) -> None:
    fields, part, name, said = CHANGES[case]
    found = changes(record(), record(**fields))
    assert [(change.part, change.name) for change in found] == [(part, name)]
    assert part in PARTS
    assert [text for text in said if text not in found[0].sentence] == []


def test_changes_come_in_the_order_of_likely_causes() -> None:
    other = record(
        seed=8, code=code("e"), environment=other_numpy(version="2.4.5"), parameters={"rate": 0.1, "layers": 1},
        data={"data": Data(manifest=manifest("e"), splits=Splits())}, resources=Resources(workers=2),
    )  # fmt: skip
    order = [PARTS.index(change.part) for change in changes(record(), other)]
    assert order == sorted(order)
    assert len(order) == 6


def test_true_is_not_one() -> None:
    for one, true in ((1, True), ([1], [True]), (1, 1.0), ({"deep": 0}, {"deep": False})):
        found = changes(record(parameters={"flag": one}), record(parameters={"flag": true}))
        assert [change.name for change in found] == ["flag"]


def test_a_package_can_be_in_a_lock_once() -> None:
    twice = [Package(name="numpy", version=version) for version in ("1", "2")]
    with pytest.raises(ValueError, match="same name"):
        lock(*twice)


def test_a_package_is_the_same_wherever_its_files_came_from() -> None:
    moved = record(environment=lock(*(each.model_copy(update={"origin": Origin.ARCHIVE}) for each in lock().packages)))
    assert moved.digest == record().digest
    assert changes(record(), moved) == ()


def test_a_copy_with_other_fields_has_a_digest_of_its_own() -> None:
    first = record()
    kept = first.digest
    assert first.model_copy(update={"seed": 8}).digest != kept
    assert first.model_copy().digest == kept
