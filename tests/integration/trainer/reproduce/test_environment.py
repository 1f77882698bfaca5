"""Tiny environments that are really built, by uv and by pip, from wheels in a folder and from an index."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.reproduce.environment import Installer, build, look_up_archives
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, installed
from services.trainer.reproduce.requirements import Tool, Where
from tests.unit.trainer.reproduce.wheels import unpacked, wheel


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UV_NO_CONFIG", "1")


def tiny_lock(site: Path, made: Path | None = None) -> Lock:
    (package,) = installed([str(site)])
    archives = () if made is None else (f"sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}",)
    return Lock(**running(), packages=(package.model_copy(update={"archives": archives}),))


def from_folder(folder: Path, tool: Tool = Tool.UV) -> Installer:
    return Installer(tool, Where(links=(folder,), index=False), seconds=60)


def value(python: Path) -> str:
    code = "import tiny; print(tiny.VALUE)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("tool", Tool)
def test_an_environment_is_built_checked_and_used_again(tmp_path: Path, tool: Tool) -> None:
    made = wheel(tmp_path / "wheels")
    recorded = tiny_lock(unpacked(tmp_path / "site", made), made if tool is Tool.UV else None)
    python = build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels", tool))
    assert value(python) == "1"
    made.unlink()
    assert build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels", tool)) == python
    (tmp_path / "env/lib/python3.11/site-packages/tiny/__init__.py").write_text("VALUE = 2\n")
    with pytest.raises(DomainError, match=r"tiny==1\.0 has files that are not its wheel's: tiny/__init__\.py"):
        build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels", tool))


@pytest.mark.parametrize("hashed", [True, False])
def test_another_wheel_under_the_same_version_is_refused_and_nothing_is_left(tmp_path: Path, hashed: bool) -> None:
    made = wheel(tmp_path / "wheels")
    recorded = tiny_lock(unpacked(tmp_path / "site", made), made if hashed else None)
    wheel(tmp_path / "wheels", source="VALUE = 2\n")
    with pytest.raises(DomainError) as caught:
        build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels"))
    assert caught.value.reason is (Reason.ENVIRONMENT_FAILED if hashed else Reason.DIGEST_MISMATCH)
    assert "tiny" in caught.value.message
    assert not (tmp_path / "env").exists()


def test_what_is_gone_from_the_index_is_named_by_the_installer(tmp_path: Path) -> None:
    made = wheel(tmp_path / "made")
    (tmp_path / "wheels").mkdir()
    with pytest.raises(DomainError, match="tiny") as caught:
        build(tiny_lock(unpacked(tmp_path / "site", made)), tmp_path / "env", from_folder(tmp_path / "wheels"))
    assert caught.value.reason is Reason.ENVIRONMENT_FAILED


def test_a_folder_of_somebody_else_is_left_alone_and_one_half_built_is_built_anew(tmp_path: Path) -> None:
    made = wheel(tmp_path / "wheels")
    recorded = tiny_lock(unpacked(tmp_path / "site", made), made)
    (tmp_path / "env").mkdir()
    (tmp_path / "env/mine").touch()
    with pytest.raises(InvalidArgument, match="exists and is no environment of this lock"):
        build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels"))
    assert (tmp_path / "env/mine").exists()
    (tmp_path / ".env.building").mkdir()
    assert value(build(recorded, tmp_path / "env", from_folder(tmp_path / "wheels"))) == "1"
    assert not (tmp_path / ".env.building").exists()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of an index with one package."""
    made = wheel(tmp_path / "index/tiny")
    link = f'<a href="{made.name}#sha256={hashlib.sha256(made.read_bytes()).hexdigest()}">{made.name}</a>'
    (made.parent / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", made
    server.shutdown()
    server.server_close()
    thread.join()


def test_digests_are_asked_of_the_index_and_required_later(
    tmp_path: Path, index: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, made = index
    monkeypatch.setenv("UV_DEFAULT_INDEX", address)
    recorded = look_up_archives(tiny_lock(unpacked(tmp_path / "site", made)), tmp_path)
    assert [package.archives for package in recorded.packages] == [
        (f"sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}",)
    ]
    assert value(build(recorded, tmp_path / "env")) == "1"
