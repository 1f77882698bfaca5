"""The cache holds whole items or none, whoever builds them at once and whenever they are killed."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import Layout, cache_home
from infra.runtime.store import build_once, check_digest, point


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "cache", tmp_path / "runtime")


def test_an_item_is_built_once_however_many_ask(layout: Layout) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        time.sleep(0.05)
        (folder / "program").write_text("whole")

    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(build_once(layout, "tool", "tool-1", build))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert {path.read_text() for path in (f / "program" for f in found)} == {"whole"}


def test_nobody_sees_an_item_before_it_is_whole(layout: Layout) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        assert not layout.item("tool-1").exists()
        (folder / "other half").write_text("")

    build_once(layout, "tool", "tool-1", build)
    assert {p.name for p in layout.item("tool-1").iterdir()} == {"half", "other half"}


def test_a_build_that_fails_leaves_nothing_and_may_be_tried_again(layout: Layout) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeSetupError("no network")

    with pytest.raises(RuntimeSetupError):
        build_once(layout, "tool", "tool-1", fail)
    assert not layout.item("tool-1").exists()
    assert not list(layout.partial.iterdir())
    build_once(layout, "tool", "tool-1", lambda folder: None)
    assert layout.item("tool-1").is_dir()


def test_what_a_killed_builder_left_is_removed_by_the_next_one_of_that_item(layout: Layout) -> None:
    mine, others = layout.partial / "tool+dead", layout.partial / "othertool+alive"
    for leftover in (mine, others):
        leftover.mkdir(parents=True)
    build_once(layout, "tool", "tool-1", lambda folder: None)
    assert not mine.exists()
    assert others.exists(), "another item's builder may be alive"


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeSetupError, match="Set BMASE_CACHE"):
        build_once(Layout(tmp_path / "file", tmp_path), "tool", "tool-1", lambda folder: None)


def test_bytes_other_than_the_pinned_ones_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "tool.whl"
    archive.write_bytes(b"content")
    check_digest(archive, hashlib.sha256(b"content").hexdigest())
    archive.write_bytes(b"Content")
    with pytest.raises(RuntimeSetupError, match=r"tool\.whl: sha256 is .*, pinned is "):
        check_digest(archive, hashlib.sha256(b"content").hexdigest())


def test_a_link_is_moved_in_one_step_and_kept_when_right(tmp_path: Path) -> None:
    link = tmp_path / "bin" / "tool"
    point(link, tmp_path / "one")
    point(link, tmp_path / "two")
    assert link.readlink() == tmp_path / "two"
    before = link.lstat().st_ino
    point(link, tmp_path / "two")
    assert link.lstat().st_ino == before
    assert [p.name for p in link.parent.iterdir()] == ["tool"]


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"BMASE_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/bmase"),
        ({"HOME": "/c"}, "/c/.cache/bmase"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], home: str) -> None:
    assert cache_home(environ) == Path(home)
