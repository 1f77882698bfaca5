"""The engine as a whole, on made-up traffic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.monitor.drift.engine import DriftEngine
from services.monitor.sketches import Role
from tests.unit.monitor.drift.traffic import (
    MODEL,
    NAME,
    SETTINGS,
    VERSION,
    Fed,
    Traffic,
    drift_of,
    quality_of,
    reference,
)


def features(report: pb.DriftReport) -> dict[str, pb.FeatureDrift]:
    return {feature.feature: feature for feature in report.features}


def test_traffic_like_the_reference_raises_nothing(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    for _ in range(20):
        found = fed.feed(1_000)
        assert drift_of(found) == []
        assert quality_of(found) == []
    report = fed.engine.report(MODEL, VERSION)
    assert (report.has_reference, report.features_drifted, report.alpha) == (True, 0, 0.01)
    assert report.features_total == 4 + 1 + 2 + 1
    assert "None of 8 features moved" in report.summary


def test_a_shifted_input_is_found_and_named(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    assert drift_of(fed.feed(300, shift=1.5)) == ["input/x"]
    moved = [feature for feature in fed.engine.report(MODEL, VERSION).features if feature.drifted]
    assert [feature.feature for feature in moved] == ["input/x[2]"]
    (feature,) = moved
    assert feature.ks > feature.threshold > 0.1
    assert feature.psi > 0.25
    assert 0 < feature.js < 1
    assert 0 < feature.rows <= 300
    assert feature.live_quantiles[5] - feature.reference_quantiles[5] == pytest.approx(1.5, abs=0.3)


def test_a_change_of_what_is_predicted_is_found(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    assert drift_of(fed.feed(1_000, yes=0.8)) == ["output/p"]
    label = features(fed.engine.report(MODEL, VERSION))["output/p.label"]
    assert label.drifted
    assert label.reference_shares["1"] == pytest.approx(0.3, abs=0.05)
    assert label.live_shares["1"] == pytest.approx(0.8, abs=0.05)


def test_a_change_after_a_long_quiet_time_is_found(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    assert drift_of(fed.feed(30_000)) == []
    assert drift_of(fed.feed(1_500, shift=0.8)) == ["input/x"]


def test_a_difference_that_does_not_matter_is_no_alarm_however_sure(tmp_path: Path) -> None:
    settings = replace(SETTINGS, window_rows=1_000_000)
    fed = Fed(tmp_path / "a", settings)
    assert drift_of(fed.feed(40_000, shift=0.15)) == []  # a distance of 0.06
    sharp = Fed(tmp_path / "b", replace(settings, minimum_effect=0.0))
    assert drift_of(sharp.feed(40_000, shift=0.15)) == ["input/x"]


def test_it_is_over_when_a_later_window_is_clean(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(1_000, shift=1.5)
    found = fed.feed(900)
    assert drift_of(found) == ["input/x"]
    assert drift_of(fed.feed(1_200)) == []
    assert fed.engine.report(MODEL, VERSION).features_drifted == 0


def test_quiet_is_not_clean(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(1_000, shift=1.5)
    for _ in range(1_000):
        found = fed.look()
    assert drift_of(found) == ["input/x"]


def test_odd_numbers_are_a_matter_of_quality(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    for _ in range(10):
        rows = fed.traffic.inputs(100)
        rows["x"][:8, 0], rows["x"][:8, 1], rows["x"][:8, 3] = np.nan, np.inf, 1e6
        fed.engine.add(MODEL, VERSION, rows, Role.INPUT)
        found = fed.look()
    (finding,) = quality_of(found)
    assert finding.feature == "input/x"
    assert finding.effect == pytest.approx(0.08, abs=0.01)
    quality = {item.feature: item for item in fed.engine.report(MODEL, VERSION).quality}
    assert (quality["input/x[0]"].missing, quality["input/x[0]"].rows) == (80, 1_000)
    assert quality["input/x[1]"].infinite == 80
    for feature in ("input/x[1]", "input/x[3]"):  # a few are beyond 4,000 rows of the reference by chance
        assert 80 <= quality[feature].out_of_range <= 84


def test_categories_that_are_new_are_a_matter_of_quality(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    for _ in range(5):
        rows = fed.traffic.inputs(100)
        rows["colour"][:10, 0] = b"mauve"
        rows["colour"][10:20, 0] = b""
        fed.engine.add(MODEL, VERSION, rows, Role.INPUT)
        found = fed.look()
    (finding,) = quality_of(found)
    assert "input/colour in categories that the reference does not have" in finding.message
    (quality,) = [item for item in fed.engine.report(MODEL, VERSION).quality if item.feature == "input/colour"]
    assert (quality.new_categories, quality.missing, quality.rows) == (100, 50, 500)


@pytest.mark.parametrize("left_out", [(), ("colour",)])
def test_an_input_that_is_missing_is_noticed_unless_it_was_left_out(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    fed = Fed(tmp_path)
    for _ in range(5):
        rows = fed.traffic.inputs(100)
        del rows["colour"]
        fed.engine.add(MODEL, VERSION, rows, Role.INPUT, left_out)
        found = fed.look()
    assert [finding.feature for finding in quality_of(found)] == ([] if left_out else ["input/colour"])


def test_rows_of_another_shape_are_noticed(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    for _ in range(5):
        rows = fed.traffic.inputs(100)
        fed.engine.add(MODEL, VERSION, rows | {"x": rows["x"][:, :3]}, Role.INPUT)
        found = fed.look()
    assert [finding.feature for finding in quality_of(found)] == ["input/x"]
    (quality,) = [item for item in fed.engine.report(MODEL, VERSION).quality if item.feature == "input/x"]
    assert (quality.missing, quality.rows) == (500, 500)


def test_without_a_reference_it_shows_what_it_sees(tmp_path: Path) -> None:
    fed = Fed(tmp_path, with_reference=False)
    assert fed.feed(500) == {}
    report = fed.engine.report(MODEL, VERSION)
    assert not report.has_reference
    assert "500 rows seen" in report.summary
    assert len(features(report)["input/x[2]"].live_quantiles) == 11
    assert features(report)["input/colour"].live_shares["red"] == pytest.approx(0.6, abs=0.1)


def test_nothing_seen_is_an_answer(tmp_path: Path) -> None:
    engine = DriftEngine(tmp_path, SETTINGS)
    assert "No traffic" in engine.report(MODEL, VERSION).summary
    engine.put_reference(reference(), 1.0)
    report = engine.report(MODEL, VERSION)
    assert (report.has_reference, report.rows, report.features_total) == (True, 0, 8)


def test_a_reference_that_comes_late_judges_what_comes_after(tmp_path: Path) -> None:
    fed = Fed(tmp_path, with_reference=False)
    fed.feed(900, shift=5)
    fed.engine.put_reference(reference(), fed.now)
    assert drift_of(fed.feed(900)) == []
    assert drift_of(fed.feed(900, shift=5)) == ["input/x"]


def test_a_version_without_a_reference_has_none_to_give(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as raised:
        DriftEngine(tmp_path).reference(MODEL, 7)
    assert raised.value.reason is Reason.REFERENCE_NOT_FOUND


def test_a_restart_decides_as_if_there_had_been_none(tmp_path: Path) -> None:
    whole, first = Fed(tmp_path / "whole"), Fed(tmp_path / "parts")
    for fed in (whole, first):
        fed.feed(4_300)
        fed.feed(200, shift=1.0)
    assert first.engine.snapshot() == 1
    assert first.engine.snapshot() == 0
    second = Fed(tmp_path / "parts", with_reference=False)
    assert second.engine.restore() == 1
    second.traffic, second.now = first.traffic, first.now
    for _ in range(20):
        assert whole.feed(100, shift=1.0) == second.feed(100, shift=1.0)
    mine, theirs = (fed.engine.report(MODEL, VERSION) for fed in (second, whole))
    assert mine.rows == theirs.rows
    assert [(f.feature, f.drifted, f.ks, f.rows) for f in mine.features] == [
        (f.feature, f.drifted, f.ks, f.rows) for f in theirs.features
    ]


def test_what_is_found_survives_a_restart(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(400, shift=1.5)
    fed.engine.snapshot()
    again = DriftEngine(tmp_path, SETTINGS)
    again.restore()
    assert drift_of(again.tick(fed.now)) == ["input/x"]


def test_damaged_state_is_kept_aside_and_begun_anew(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(400, shift=1.5)
    fed.engine.snapshot()
    (path,) = (tmp_path / "live").iterdir()
    path.write_bytes(path.read_bytes()[:1_000])
    again = DriftEngine(tmp_path, SETTINGS)
    assert again.restore() == 0
    assert [found.suffix for found in (tmp_path / "live").iterdir()] == [".unreadable"]
    assert again.tick(fed.now) == {}


def test_the_version_idle_for_longest_makes_room(tmp_path: Path) -> None:
    fed = Fed(tmp_path, replace(SETTINGS, max_features=20), with_reference=False)
    for version in (1, 2, 1, 3):
        fed.feed(100, version=version)
    assert fed.engine.forgotten == 1
    assert "No traffic" in fed.engine.report(MODEL, 2).summary
    assert "seen" in fed.engine.report(MODEL, 1).summary


def test_two_versions_that_answer_alike_do_not_differ(tmp_path: Path) -> None:
    fed = Fed(tmp_path, with_reference=False)
    for version in (1, 2):
        fed.feed(3_000, version=version)
    found = fed.engine.compare(MODEL, 1, 2)
    assert {feature.feature for feature in found} == {"output/p[0]", "output/p[1]", "output/p.label"}
    assert [feature.feature for feature in found if feature.drifted] == []


def test_two_versions_that_answer_differently_do(tmp_path: Path) -> None:
    fed = Fed(tmp_path, with_reference=False)
    fed.feed(3_000, version=1)
    fed.feed(3_000, version=2, yes=0.7)
    found = fed.engine.compare(MODEL, 1, 2)
    assert [feature.drifted for feature in found] == [True, True, True]
    assert {f.feature: f for f in found}["output/p.label"].ks == pytest.approx(0.4, abs=0.06)
    assert fed.engine.compare(MODEL, 1, 9) == []


def test_single_rows_and_scalars_are_taken(tmp_path: Path) -> None:
    engine = DriftEngine(tmp_path)
    engine.add(MODEL, 1, {"a": np.array(1.5), "b": np.zeros((0, 3)), "c": np.zeros(2, complex)}, "input")
    report = engine.report(MODEL, 1)
    assert [(f.feature, f.rows) for f in report.features] == [("input/a", 1), *[(f"input/b[{i}]", 0) for i in range(3)]]


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    engine = DriftEngine(tmp_path / "state")
    engine.add("../../evil", 1, Traffic().inputs(10), Role.INPUT)
    engine.snapshot()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_the_report_is_as_long_as_asked(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(300, shift=1.5)
    report = fed.engine.report(MODEL, VERSION, limit=2)
    assert report.name == NAME
    assert [feature.drifted for feature in report.features] == [True, False]


def test_tensors_beyond_the_bounds_of_a_version_are_not_looked_at(tmp_path: Path) -> None:
    engine = DriftEngine(tmp_path, SETTINGS)
    wide = np.zeros((1, 2_000), np.float32)  # 1,028 features
    engine.add(MODEL, VERSION, {f"t{index}": wide for index in range(20)}, Role.INPUT)
    report = engine.report(MODEL, VERSION, limit=1)
    assert report.features_total == 7 * 1_028
    engine.add(MODEL, 3, {f"t{index}": np.zeros(1, np.float32) for index in range(100)}, Role.INPUT)
    assert engine.report(MODEL, 3).features_total == 64


@pytest.mark.parametrize("with_reference", [False, True])
def test_what_must_not_be_kept_is_forgotten_in_memory_and_on_disk(tmp_path: Path, with_reference: bool) -> None:
    fed = Fed(tmp_path, with_reference=with_reference)
    secret = fed.traffic.inputs(300)
    secret["colour"][:] = b"a name"
    fed.engine.add(MODEL, VERSION, secret, Role.INPUT)
    fed.look()
    fed.engine.snapshot()
    (path,) = (tmp_path / "live").iterdir()
    assert b"a name" in path.read_bytes()
    fed.engine.forget(MODEL, {"colour"})
    assert not path.exists()
    report = fed.engine.report(MODEL, VERSION)
    assert "a name" not in str(report)
    assert features(report)["input/x[0]"].rows == 300
    fed.engine.snapshot()
    assert b"a name" not in path.read_bytes()
    found = fed.feed(100)
    assert [finding.feature for finding in quality_of(found)] == []


def test_a_model_that_opted_out_is_forgotten_whole(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.feed(300)
    fed.engine.snapshot()
    fed.engine.forget("another", None)
    assert fed.engine.report(MODEL, VERSION).rows == 300
    fed.engine.forget(MODEL, None)
    assert list((tmp_path / "live").iterdir()) == []
    assert fed.engine.report(MODEL, VERSION).rows == 0
