"""The pinned list checks itself, and a change of what is fetched is a change of where it lies."""

from __future__ import annotations

from typing import Any

import pytest

from infra.runtime import manifest
from infra.runtime.errors import ManifestError

WHEEL: dict[str, Any] = {
    "kind": "pypi",
    "package": "tool-bin",
    "version": "1.0",
    "file": "tool_bin-1.0-py3-none-any.whl",
    "sha256": "0" * 64,
    "unpack": ["tool/bin/", "LICENSE"],
    "omit": ["tool/bin/tests/"],
    "executables": {"tool": "tool/bin/tool"},
}
PACKAGE: dict[str, Any] = {
    "kind": "debian",
    "suite": "stable",
    "package": "tool",
    "version": "1",
    "executables": {"tool": "usr/bin/tool"},
}
ENVIRONMENT: dict[str, Any] = {
    "kind": "venv",
    "package": "tool",
    "version": "1.0",
    "requirements": "infra/runtime/tool.txt",
    "entry": "tool.cli:main",
    "executables": {"tool": "bin/tool"},
}


def test_the_projects_own_manifest_holds_together() -> None:
    items = manifest.load()
    assert [i.name for i in items.values() if i.default] == ["triton", "envoy", "nats", "consul"]
    assert all(item.sha256 for item in items.values() if item.default), "what the suite runs is pinned by its bytes"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "ftp"}, "kind must be one of"),
        ({"executables": {}}, "names neither executables nor libraries"),
        ({"sha256": "abc"}, "64 lower-case hexadecimal digits"),
        ({"sha256": "A" * 64}, "64 lower-case hexadecimal digits"),
        ({"sha256": ""}, "file and sha256 belong together"),
        ({"unpack": []}, "a wheel needs"),
        ({"kind": "sdist", "unpack": []}, "a source distribution needs"),
        ({"executables": {"tool": "../../usr/bin/tool"}}, "leaves the item's folder"),
        ({"links": {"/etc/passwd": "x"}}, "leaves the item's folder"),
        ({"data": "usr/share/tool"}, "only an unpinned Debian package has data"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"package": None}, "missing 1 required positional argument: 'package'"),
    ],
)
def test_a_contradiction_is_refused_with_its_reason(change: dict[str, Any], complaint: str) -> None:
    table = {key: value for key, value in {**WHEEL, **change}.items() if value is not None}
    with pytest.raises(ManifestError, match=complaint) as refused:
        manifest.parse({"thing": table})
    assert "'thing'" in str(refused.value)


def test_a_debian_item_needs_its_suite() -> None:
    with pytest.raises(ManifestError, match="suite"):
        manifest.parse({"thing": {**PACKAGE, "suite": ""}})


@pytest.mark.parametrize(
    "change",
    [{"requirements": ""}, {"entry": ""}, {"executables": {"tool": "bin/tool", "other": "bin/other"}}],
)
def test_an_environment_needs_its_wheels_and_one_program(change: dict[str, Any]) -> None:
    manifest.parse({"thing": ENVIRONMENT})
    with pytest.raises(ManifestError, match="an environment needs"):
        manifest.parse({"thing": {**ENVIRONMENT, **change}})
    with pytest.raises(ManifestError, match="leaves the item's folder"):
        manifest.parse({"thing": {**ENVIRONMENT, "requirements": "../elsewhere.txt"}})


def test_fields_that_came_later_make_no_other_item_of_what_is_cached() -> None:
    # As this item's folder was called by the first release that had it.
    assert manifest.parse({"thing": WHEEL})["thing"].key == "thing-1.0-1a202fcb8e4a"


def test_two_items_may_not_bring_the_same_program() -> None:
    with pytest.raises(ManifestError, match=r"'tool' is in both 'first' and 'second'"):
        manifest.parse({"first": WHEEL, "second": PACKAGE})


def test_only_what_is_listed_and_not_omitted_is_unpacked() -> None:
    item = manifest.parse({"thing": WHEEL})["thing"]
    assert item.wants("tool/bin/tool")
    assert item.wants("LICENSE")
    assert not item.wants("LICENSE.old")
    assert not item.wants("tool/bin/tests/data")
    assert not item.wants("tool/other")


@pytest.mark.parametrize("change", [{"sha256": "1" * 64}, {"omit": []}, {"version": "2"}, {"links": {"a": "b"}}])
def test_any_change_gives_another_folder(change: dict[str, Any]) -> None:
    before, after = (manifest.parse({"thing": t})["thing"] for t in (WHEEL, {**WHEEL, **change}))
    assert before.key != after.key
    assert before.key == manifest.parse({"thing": dict(WHEEL)})["thing"].key
