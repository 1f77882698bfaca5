"""supervisord's configuration, read back by supervisord's own reader."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from infra.local.errors import SuiteError
from infra.local.place import Place
from infra.local.suite import Program
from infra.local.supervision import render


def _read(place: Place, text: str) -> ServerOptions:
    place.supervisord_conf.write_text(text)
    options = ServerOptions()
    options.realize(["-c", str(place.supervisord_conf), "-n"])
    return options


def _place(root: Path) -> Place:
    place = Place(root)
    place.make()
    return place


def test_commands_and_environment_survive_quoting(tmp_path: Path) -> None:
    place = _place(tmp_path / "with space and 'quote'")
    program = Program("one", ("/bin/echo", "a b", "100%", "it's"), 1, {"VALUE": "50% of, \\ it's"})
    options = _read(place, render(place, [program], {"COMMON": "x=1,y=2"}))
    config = options.process_group_configs[0].process_configs[0]
    assert config.command == "/bin/echo 'a b' 100% 'it'\"'\"'s'"
    assert config.environment["VALUE"] == "50% of, \\ it's"
    assert config.environment["COMMON"] == "x=1,y=2"
    assert config.stdout_logfile == str(place.log("one"))


def test_programs_come_back_for_ever_and_are_stopped_with_their_children(tmp_path: Path) -> None:
    place = _place(tmp_path)
    config = _read(place, render(place, [Program("one", ("/bin/true",), 1)], {})).process_group_configs[0]
    (process,) = config.process_configs
    assert process.autostart
    assert process.autorestart is not False
    assert process.startretries >= 10_000
    assert process.killasgroup


def test_a_long_data_folder_gets_a_short_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    long = Place(Path("/" + "x" * 200))
    assert len(str(long.socket)) < len(str(tmp_path)) + 50
    assert stat.S_IMODE(long.socket.parent.stat().st_mode) == 0o700
    assert long.socket != Place(Path("/" + "y" * 200)).socket


def test_a_private_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    _ = Place(Path("/" + "x" * 200)).socket
    next(tmp_path.iterdir()).chmod(0o777)
    with pytest.raises(SuiteError, match="not private"):
        _ = Place(Path("/" + "x" * 200)).socket


@pytest.mark.parametrize("name", ["a ; b", "a # b", "a\nb", "100%"])
def test_a_name_that_would_be_cut_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SuiteError):
        render(_place(tmp_path / name), [Program("one", ("/bin/true",), 1)], {})
