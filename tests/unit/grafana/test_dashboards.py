"""The dashboards in the repository are what the code makes, and each panel can be shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.grafana import DASHBOARDS, DASHBOARDS_VARIABLE, PROVISIONING, SOURCE, SOURCE_VARIABLE
from infra.grafana.__main__ import PAGES, documents, main, stale

PAGE_WIDTH = 24


def _read() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]


def test_the_files_are_what_the_code_makes() -> None:
    assert stale() == [], "python -m infra.grafana generate"


def test_a_changed_and_a_left_over_file_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.grafana.__main__.DASHBOARDS", tmp_path)
    assert main(["generate"]) == 0
    assert main(["check"]) == 0
    (tmp_path / "traffic.json").write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    assert stale() == ["old.json", "traffic.json"]
    assert main(["check"]) == 1


def test_all_areas_have_a_dashboard() -> None:
    assert {path.stem for path in documents()} == set(PAGES)
    assert {"traffic", "releases", "models", "drift", "triton", "gateway", "services"} == set(PAGES)


@pytest.mark.parametrize("page", _read(), ids=lambda page: page["uid"])
def test_panels_have_places_queries_and_units_of_their_own(page: dict[str, Any]) -> None:
    panels = page["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= PAGE_WIDTH
        assert panel["targets"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {SOURCE}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels lie over each other"


@pytest.mark.parametrize("page", _read(), ids=lambda page: page["uid"])
def test_variables_that_are_used_are_there(page: dict[str, Any]) -> None:
    known = {variable["name"] for variable in page["templating"]["list"]}
    text = json.dumps(page["panels"])
    assert {word for word in ("model", "node", "instance") if f"${word}" in text} == known


def test_provisioning_points_at_them() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/bmase.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == (SOURCE, f"${SOURCE_VARIABLE}")
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/bmase.yml").read_text())["providers"]
    assert provider["options"]["path"] == f"${DASHBOARDS_VARIABLE}"
