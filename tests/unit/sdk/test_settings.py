"""Where the address and the credentials come from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from bmase import settings
from bmase.errors import NotConfigured
from bmase.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "bmase"
    folder.mkdir(parents=True)
    return folder


def _resolve(home: Path, start: Path, given: dict[str, object] | None = None, **environ: str) -> settings.Resolved:
    return settings.resolve(given, {"XDG_CONFIG_HOME": str(home.parent), **environ}, start)


def _suite(folder: Path, address: str) -> Path:
    (folder / ".bmase").mkdir(parents=True)
    (folder / ".bmase" / "endpoints.json").write_text(json.dumps({"gateway": address}))
    return folder


def test_the_stronger_place_wins_and_is_named(home: Path, tmp_path: Path) -> None:
    inside = _suite(tmp_path / "project", "127.0.0.1:1") / "a" / "b"
    inside.mkdir(parents=True)
    assert _resolve(home, inside).settings.address == "127.0.0.1:1"
    assert _resolve(home, inside).sources == {"address": "local suite"}

    (home / "config.toml").write_text('address = "file:2"\ntoken = "t"\n')
    found = _resolve(home, inside)
    assert (found.settings.address, found.settings.token) == ("file:2", "t")
    assert found.sources["address"].endswith("config.toml")

    assert _resolve(home, inside, BMASE_ADDRESS="env:3").settings.address == "env:3"
    assert _resolve(home, inside, {"address": "given:4"}, BMASE_ADDRESS="env:3").settings.address == "given:4"


@pytest.mark.parametrize(
    "address",
    ["https://models.example.org", "10.0.0.1:80", "https://127.0.0.1.example.org:443", "localhost.org:1", "a/b"],
)
def test_a_file_in_a_folder_above_names_no_other_machine(home: Path, tmp_path: Path, address: str) -> None:
    inside = _suite(_suite(tmp_path, "127.0.0.1:1") / "project", address)
    assert _resolve(home, inside, BMASE_TOKEN="t").settings.address == "127.0.0.1:1"


def test_a_file_of_somebody_else_is_not_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _suite(tmp_path, "127.0.0.1:1")
    owner = (tmp_path / ".bmase" / "endpoints.json").stat().st_uid
    fstat = os.fstat

    def theirs(descriptor: int) -> os.stat_result:
        found = list(fstat(descriptor))
        found[4] = owner + 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", theirs)
    assert _resolve(home, tmp_path).settings.address == ""


def test_a_suite_with_its_data_elsewhere(home: Path, tmp_path: Path) -> None:
    _suite(tmp_path / "here", "127.0.0.1:1")
    elsewhere = _suite(tmp_path / "there", "127.0.0.1:2") / ".bmase"
    assert _resolve(home, tmp_path / "here", BMASE_DATA=str(elsewhere)).settings.address == "127.0.0.1:2"
    assert _resolve(home, tmp_path / "here", BMASE_DATA=str(tmp_path / "nothing")).settings.address == ""


def test_empty_values_do_not_count(home: Path, tmp_path: Path) -> None:
    found = _resolve(home, tmp_path, {"address": None, "token": ""}, BMASE_ADDRESS="", BMASE_TOKEN="t")
    assert (found.settings.address, found.settings.token) == ("", "t")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"other": 1}'])
def test_a_broken_endpoints_file_is_like_none(home: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / ".bmase").mkdir()
    (tmp_path / ".bmase" / "endpoints.json").write_text(text)
    assert _resolve(home, tmp_path).settings.address == ""


def test_a_broken_configuration_file_is_an_error_that_names_it(home: Path, tmp_path: Path) -> None:
    (home / "config.toml").write_text("address = ")
    with pytest.raises(NotConfigured, match=r"config\.toml"):
        _resolve(home, tmp_path)


def test_what_is_written_is_read_and_private(home: Path, tmp_path: Path) -> None:
    file = home / "config.toml"
    settings.write_config(file, {"token": 'quo"te\\', "tls": True})
    assert settings.read_config(file) == {"token": 'quo"te\\', "tls": True}
    assert file.stat().st_mode & 0o777 == 0o600
    assert _resolve(home, tmp_path).settings.secure


@pytest.mark.parametrize(
    ("address", "more", "target", "secure"),
    [
        ("127.0.0.1:8080", {}, "127.0.0.1:8080", False),
        ("http://localhost:80/", {}, "localhost:80", False),
        ("https://models.example.org", {}, "models.example.org:443", True),
        ("models.example.org", {"ca": "ca.pem"}, "models.example.org:443", True),
        ("models.example.org", {}, "models.example.org:8080", False),
        ("[::1]:9", {}, "[::1]:9", False),
        ("[::1]", {}, "[::1]:8080", False),
        ("unix:/run/x.sock", {}, "unix:/run/x.sock", False),
    ],
)
def test_targets(address: str, more: dict[str, Any], target: str, secure: bool) -> None:
    found = Settings(address=address, **more)
    assert (found.target, found.secure) == (target, secure)


@pytest.mark.parametrize("address", ["", "host/path", "http://host:1/path"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NotConfigured):
        _ = Settings(address=address).target


@pytest.mark.parametrize("address", ["10.0.0.1:80", "models.example.org:80", "http://[2001:db8::1]:80"])
def test_a_token_never_travels_in_clear(address: str) -> None:
    with pytest.raises(NotConfigured, match="unencrypted"):
        Settings(address=address, token="t").checked()
    assert Settings(address=address, token="t", tls=True).checked()


@pytest.mark.parametrize("address", ["127.0.0.1:80", "localhost:80", "[::1]:80", "unix:/x"])
def test_a_token_may_stay_on_this_machine(address: str) -> None:
    assert Settings(address=address, token="t").checked()


def test_a_token_is_taken_without_the_space_around_it(home: Path, tmp_path: Path) -> None:
    assert Settings(token=" sesame\r\n").token == "sesame"
    assert _resolve(home, tmp_path, BMASE_TOKEN="sesame\n").settings.token == "sesame"


def test_the_token_is_not_in_the_representation() -> None:
    assert "sesame" not in repr(Settings(token="sesame"))
