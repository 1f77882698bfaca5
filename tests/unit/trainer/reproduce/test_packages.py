"""What is read of installed packages."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import pytest

from services.trainer.reproduce import packages
from services.trainer.reproduce.checks import Checks
from services.trainer.reproduce.machine import cpu_features, cpu_model, observe_lock, observe_machine, read_pools
from services.trainer.reproduce.packages import Origin, Package, installed, read_origin
from tests.unit.trainer.reproduce.wheels import unpacked, wheel


def only(site: Path, *, check: bool = True) -> Package:
    (package,) = installed([str(site)], check=check)
    return package


def test_a_wheel_has_one_content_whoever_installed_it(tmp_path: Path) -> None:
    made = wheel(tmp_path)
    one, other = (unpacked(tmp_path / name, made) for name in ("one", "other"))
    notes = other / "tiny-1.0.dist-info"
    with (notes / "RECORD").open("a") as record:
        record.write("../../../bin/tiny,sha256=" + "x" * 43 + ",9\n")
        record.write("tiny-1.0.dist-info/INSTALLER,sha256=" + "y" * 43 + ",2\n")
        record.write("tiny-1.0.dist-info/uv_cache.json,sha256=" + "z" * 43 + ",2\n")
        record.write("tiny/__pycache__/__init__.cpython-311.pyc,,\n")
    lines = (notes / "RECORD").read_text().splitlines()
    (notes / "RECORD").write_text("\n".join(reversed(lines)))
    assert only(one) == only(other)
    assert only(one).content is not None
    assert only(one).altered == ()


def test_another_wheel_under_the_same_version_has_another_content(tmp_path: Path) -> None:
    one = unpacked(tmp_path / "one", wheel(tmp_path / "a"))
    other = unpacked(tmp_path / "other", wheel(tmp_path / "b", source="VALUE = 2\n"))
    assert only(one).pin == only(other).pin
    assert only(one).content != only(other).content


@pytest.mark.parametrize("change", [lambda file: file.write_text("VALUE = 3\n"), lambda file: file.unlink()])
def test_a_file_edited_in_place_is_named(tmp_path: Path, change: object) -> None:
    site = unpacked(tmp_path / "site", wheel(tmp_path))
    assert callable(change)
    change(site / "tiny/__init__.py")
    assert only(site).altered == ("tiny/__init__.py",)
    assert only(site, check=False).altered == ()


def test_of_two_with_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    first = unpacked(tmp_path / "one", wheel(tmp_path, version="1.0"))
    second = unpacked(tmp_path / "two", wheel(tmp_path, version="2.0"))
    assert [package.version for package in installed([str(second), str(first)])] == ["2.0"]


def test_sources_in_a_folder_have_no_content(tmp_path: Path) -> None:
    site = unpacked(tmp_path / "site", wheel(tmp_path))
    (site / "tiny-1.0.dist-info/direct_url.json").write_text('{"url": "file:///code", "dir_info": {"editable": true}}')
    assert (only(site).origin, only(site).content) == (Origin.FOLDER, None)


@pytest.mark.parametrize(
    ("text", "origin", "archives"),
    [
        (None, Origin.INDEX, ()),
        ("not json", Origin.INDEX, ()),
        (json.dumps({"url": "https://host/a.whl", "archive_info": {"hashes": {"sha256": "a" * 64}}}),
         Origin.ARCHIVE, (f"sha256:{'a' * 64}",)),
        (json.dumps({"url": "https://host/a.whl", "archive_info": {}}), Origin.ARCHIVE, ()),
        (json.dumps({"url": "https://host/a.git", "vcs_info": {"vcs": "git"}}), Origin.REPOSITORY, ()),
        (json.dumps({"url": "file:///code", "dir_info": {}}), Origin.FOLDER, ()),
    ],
)  # fmt: skip
def test_where_a_package_came_from(text: str | None, origin: Origin, archives: tuple[str, ...]) -> None:
    assert read_origin(text) == (origin, archives)


def test_the_running_environment_is_read() -> None:
    numpy = observe_lock(check=False).package("numpy")
    assert numpy is not None
    assert numpy.content is not None


CPUINFO = """processor\t: 0
cpu family\t: 25
model\t\t: 1
model name\t: Some CPU
stepping\t: 1
flags\t\t: fpu sse2 sse4_2 avx avx2 avx512f fma f16c amx_tile smep

processor\t: 1
model name\t: Some CPU
flags\t\t: fpu sse2 sse4_2 avx avx2 fma f16c amx_tile smep
"""


def test_of_the_cpu_what_matters_for_numbers_and_every_core_has() -> None:
    assert cpu_features(CPUINFO) == ("amx_tile", "avx", "avx2", "f16c", "fma", "sse4_2")
    assert cpu_model(CPUINFO) == "Some CPU (25/1/1)"
    assert cpu_features("Features\t: fp asimd sve sve2 aes\n") == ("asimd", "sve", "sve2")
    assert cpu_features("") == ()


def test_pools_are_told_without_paths() -> None:
    found = {"user_api": "openmp", "internal_api": "openmp", "prefix": "libgomp", "filepath": "/x/libgomp.so.1",
             "num_threads": 4, "version": None}  # fmt: skip
    (pool,) = read_pools([found])
    assert (pool.api, pool.library, pool.threads, pool.version) == ("openmp", "libgomp", 4, "")


def test_this_machine_is_read() -> None:
    machine = observe_machine()
    assert machine.cores >= 1
    assert machine == observe_machine()


def test_a_package_is_read_once_and_again_only_when_a_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = unpacked(tmp_path / "site", wheel(tmp_path))
    kept = tmp_path / "checked.json"

    def read_again() -> Package:
        checks = Checks(kept)
        (package,) = installed([str(site)], checks=checks)
        checks.save()
        return package

    assert read_again().altered == ()
    with monkeypatch.context() as patched:
        patched.setattr(packages, "_as_listed", lambda path, file: pytest.fail(f"{path} was read"))
        assert read_again().altered == ()
    file = site / "tiny/__init__.py"
    before = file.stat()
    file.write_text(file.read_text().replace("1", "2"))  # of the same size, and made to look as old
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_again().altered == ("tiny/__init__.py",)
    assert read_again().altered == ("tiny/__init__.py",)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 0, "packages": {}}', '{"format": 1, "packages": {"x": 1}}'])
def test_a_file_of_checks_that_cannot_be_understood_knows_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "checked.json").write_text(content)
    assert Checks(tmp_path / "checked.json").known("x", "y") is None


def test_what_a_package_brings_along_inside_itself_is_no_package_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendored = Path(sysconfig.get_path("purelib")) / "ray" / "thirdparty_files"
    before = {each.name for each in installed(check=False)}
    monkeypatch.syspath_prepend(str(vendored))
    assert vendored.is_dir()
    assert {each.name for each in installed(check=False)} == before
