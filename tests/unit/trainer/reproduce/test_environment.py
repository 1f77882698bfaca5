"""What an installer is told, what the lock cannot give, and what was built held against it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.reproduce.environment import Installer, check, look_up_archives, unlike, wheels_in
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, Origin, Package, installed
from services.trainer.reproduce.requirements import (
    Tool,
    Where,
    create_command,
    hashes_command,
    install_command,
    read_hashes,
    refuse,
    requirements,
    with_archives,
)
from tests.unit.trainer.reproduce.recorded import digest, lock
from tests.unit.trainer.reproduce.wheels import unpacked, wheel

HERE = {"python": "3.11.7", "implementation": "cpython", "platform": "linux-x86_64"}
NUMPY = Package(name="numpy", version="2.4.6", content=digest("1"))


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (NUMPY.model_copy(update={"origin": Origin.FOLDER}), "numpy==2.4.6 came from a folder"),
        (NUMPY.model_copy(update={"origin": Origin.REPOSITORY}), "numpy==2.4.6 came from a repository"),
        (NUMPY.model_copy(update={"content": None}), "numpy==2.4.6 has no digest at all"),
        (NUMPY.model_copy(update={"altered": ("numpy/random.py",)}), "was altered .* in numpy/random.py"),
    ],
)
def test_what_a_lock_cannot_give_is_refused_by_name(package: Package, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        refuse(lock(package), HERE, Tool.UV)
    assert [violation.field for violation in caught.value.violations] == ["environment.packages.numpy"]
    refuse(lock(package), HERE, Tool.UV, provided=("NumPy",))
    refuse(lock(NUMPY), HERE, Tool.UV)


@pytest.mark.parametrize("name", HERE)
def test_a_lock_of_another_machine_is_refused(name: str) -> None:
    there = {**HERE, name: "other"}
    if name == "python":
        refuse(lock(), there, Tool.UV)  # which finds or fetches the recorded one
    with pytest.raises(InvalidArgument, match=f"environment.{name}: the lock is for {HERE[name]}, and this is other"):
        refuse(lock(), there, Tool.PIP)


def test_requirements_have_hashes_where_the_lock_has_them() -> None:
    hashed = NUMPY.model_copy(update={"archives": (digest("b"), digest("a"))})
    plain = Package(name="torch", version="2.13.0+cpu", content=digest("2"))
    ours = Package(name="bmase", version="0.1.0", origin=Origin.FOLDER)
    assert requirements(lock(hashed, plain, ours), provided=("bmase",)) == (
        f"numpy==2.4.6 \\\n    --hash={digest('a')} \\\n    --hash={digest('b')}\n",
        "torch==2.13.0+cpu\n",
    )


def test_commands_of_uv() -> None:
    folder, file, where = Path("/env"), Path("/env/hashed.txt"), Where(links=(Path("/wheels"),), index=False)
    assert create_command(Tool.UV, Path("/bin/uv"), folder, lock()) == [
        "/bin/uv", "venv", "--no-project", "--python", "3.11.7", "/env",
    ]  # fmt: skip
    assert install_command(Tool.UV, Path("/bin/uv"), folder, file, where, hashed=True) == [
        "/bin/uv", "pip", "install", "--python", "/env/bin/python", "--no-deps", "--no-build", "--require-hashes",
        "--no-index", "--find-links", "/wheels", "--requirement", "/env/hashed.txt",
    ]  # fmt: skip
    asked = hashes_command(Path("/bin/uv"), file, lock())
    assert asked[:4] == ["/bin/uv", "pip", "compile", "--generate-hashes"]
    assert asked[-1] == "/env/hashed.txt"


def test_commands_of_pip() -> None:
    folder, file = Path("/env"), Path("/env/plain.txt")
    assert create_command(Tool.PIP, Path("/bin/python3"), folder, lock()) == [
        "/bin/python3", "-I", "-m", "venv", "--without-pip", "/env",
    ]  # fmt: skip
    assert install_command(Tool.PIP, Path("/bin/python3"), folder, file, Where(), hashed=False) == [
        "/bin/python3", "-I", "-m", "pip", "--python", "/env/bin/python", "--no-input", "--disable-pip-version-check",
        "install", "--no-deps", "--only-binary", ":all:", "--requirement", "/env/plain.txt",
    ]  # fmt: skip


def test_archives_are_taken_for_the_same_version_only() -> None:
    numpy = f"numpy==2.4.6 \\\n    --hash={digest('a')} \\\n    --hash={digest('b')}\n"
    text = f"{numpy}torch==2.12 \\\n    --hash={digest('c')}\n"
    found = {package.name: package.archives for package in with_archives(lock(), read_hashes(text)).packages}
    assert found == {"numpy": (digest("a"), digest("b")), "torch": ()}


def test_what_was_built_is_held_against_the_lock() -> None:
    torch = Package(name="torch", version="2", content=digest("2"))
    found = [NUMPY.model_copy(update={"content": digest("9")}), torch.model_copy(update={"version": "3"})]
    absent = Package(name="scipy", version="1", content=digest("3"))
    extra = Package(name="evil", version="1", content=digest("4"))
    assert list(unlike([NUMPY, torch, absent], [*found, extra])) == [
        f"numpy==2.4.6 had {digest('1')} and has {digest('9')}",
        "torch is 3 instead of 2",
        "scipy==1 is missing",
        "evil==1 was not recorded",
    ]
    assert list(unlike([NUMPY], [NUMPY.model_copy(update={"altered": ("a.py",)})])) == [
        "numpy==2.4.6 has files that are not its wheel's: a.py"
    ]
    assert list(unlike([NUMPY], [NUMPY.model_copy(update={"archives": (digest("5"),)})])) == []


def test_what_is_provided_may_be_there_and_what_is_not_recorded_may_not(tmp_path: Path) -> None:
    site = tmp_path / "env/lib/python3.11/site-packages"
    unpacked(site, wheel(tmp_path))
    ours = Package(name="bmase", version="0.1.0", origin=Origin.FOLDER)
    recorded = Lock(**running(), packages=installed([str(site)]))
    unpacked(site, wheel(tmp_path, name="bmase", version="0.2.0"))
    check(recorded.model_copy(update={"packages": (*recorded.packages, ours)}), tmp_path / "env", ("bmase",))
    with pytest.raises(DomainError, match=r"bmase==0.2.0 was not recorded"):
        check(recorded, tmp_path / "env")


def test_digests_of_wheels_in_a_folder_are_those_of_their_content(tmp_path: Path) -> None:
    made = wheel(tmp_path, name="tiny_one", version="1.0+cpu")
    (tmp_path / "not-a-wheel.whl").touch()
    found = wheels_in([tmp_path])
    assert found == {"tiny-one==1.0+cpu": {f"sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}"}}
    recorded = lock(Package(name="tiny-one", version="1.0+cpu", content=digest("1")))
    offline = Installer(where=Where(links=(tmp_path,), index=False))
    assert look_up_archives(recorded, tmp_path, offline).packages[0].archives == tuple(*found.values())
