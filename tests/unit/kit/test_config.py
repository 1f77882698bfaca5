from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.kit.app import readable
from services.kit.config import ServiceSettings, is_loopback, split_address

TOKEN = "0123456789abcdef"


class ShopSettings(ServiceSettings):
    """A service for these tests."""

    model_config = SettingsConfigDict(env_prefix="BMASE_SHOP_")

    colour: str = "red"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BMASE_")]:
        monkeypatch.delenv(name)


def _file(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bmase.toml"
    path.write_text(text)
    monkeypatch.setenv("BMASE_CONFIG", str(path))


def _refused(**values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        ShopSettings(**values)
    return readable(caught.value)


def test_defaults_are_safe_and_stable() -> None:
    settings = ShopSettings()
    assert is_loopback(split_address(settings.listen)[0])
    assert is_loopback(split_address(settings.metrics_listen)[0])
    assert settings.instance.startswith("shop-")
    assert settings.instance == ShopSettings().instance
    assert settings.data_dir == Path(".bmase/shop")


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path, '[common]\nlog_level = "debug"\ndrain_seconds = 1\n[shop]\ndrain_seconds = 2\n', monkeypatch)
    assert (ShopSettings().log_level, ShopSettings().drain_seconds) == ("debug", 2)
    monkeypatch.setenv("BMASE_DRAIN_SECONDS", "3")
    assert ShopSettings().drain_seconds == 3
    monkeypatch.setenv("BMASE_SHOP_DRAIN_SECONDS", "4")
    assert ShopSettings().drain_seconds == 4
    assert ShopSettings(drain_seconds=5).drain_seconds == 5


def test_common_environment_reaches_only_common_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_COLOUR", "blue")
    assert ShopSettings().colour == "red"


def test_nested_values_come_from_all_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    _file(tmp_path, f'[common.tls]\nca = "{ca}"\n', monkeypatch)
    monkeypatch.setenv("BMASE_TLS__SERVER_NAME", "bmase.internal")
    tls = ShopSettings().tls
    assert (tls.ca, tls.server_name, tls.secure_calls, tls.enabled) == (ca, "bmase.internal", True, False)


def test_a_misspelt_setting_in_the_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path, "[shop]\ncolor = 'blue'\n", monkeypatch)
    assert _refused() == "color: there is no such setting"


@pytest.mark.parametrize(
    ("text", "words"),
    [("[shop", "not valid TOML"), ("shop = 1", "must be a table")],
)
def test_a_broken_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    _file(tmp_path, text, monkeypatch)
    with pytest.raises(ValueError, match=words) as caught:
        ShopSettings()
    assert "bmase.toml" in str(caught.value)


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_CONFIG", "/nowhere/bmase.toml")
    with pytest.raises(ValueError, match=r"BMASE_CONFIG=/nowhere/bmase\.toml cannot be read"):
        ShopSettings()


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).touch()
    return {name: tmp_path / name for name in ("cert", "key", "ca")}


def test_exposing_needs_tls_and_credentials(tls: dict[str, Any]) -> None:
    pair = {"cert": tls["cert"], "key": tls["key"]}
    listen = "10.1.2.3:7000"
    for values in ({}, {"token": TOKEN}, {"tls": pair}):
        assert "reachable from other machines" in _refused(listen=listen, **values)
    assert ShopSettings(listen=listen, tls=pair, token=TOKEN).tls.enabled
    assert ShopSettings(listen=listen, tls={**tls, "mutual": True}).tls.mutual


def test_a_wildcard_needs_an_address_to_advertise(tls: dict[str, Any]) -> None:
    values: dict[str, Any] = {"listen": "0.0.0.0:7000", "tls": {"cert": tls["cert"], "key": tls["key"]}, "token": TOKEN}
    assert "advertise" in _refused(**values)
    assert ShopSettings(**values, advertise="shop.local:0").advertised(7000) == ("shop.local", 7000)
    assert ShopSettings(**values, advertise="shop.local:443").advertised(7000) == ("shop.local", 443)


@pytest.mark.parametrize(
    "values",
    [
        {"tls": {"cert": "/nowhere"}},
        {"tls": {"mutual": True}},
        {"tls": {"ca": "/nowhere"}},
        {"token": "short"},
        {"listen": "7000"},
        {"listen": "localhost:70000"},
        {"instance": "a/b"},
        {"drain_seconds": -1},
        {"log_level": "loud"},
        {"max_message_bytes": 1},
    ],
)
def test_values_out_of_bounds_are_refused(values: dict[str, Any]) -> None:
    assert next(iter(values)) in _refused(**values)


def test_a_token_is_never_shown() -> None:
    settings = ShopSettings(token=TOKEN)
    assert TOKEN not in f"{settings!r} {settings} {settings.model_dump()}"


def test_a_token_is_taken_without_the_space_around_it() -> None:
    token = ShopSettings(token=f" {TOKEN}\n").token
    assert token is not None
    assert token.get_secret_value() == TOKEN


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_TOKEN", "")
    assert ShopSettings().token is None


@pytest.mark.parametrize(
    ("address", "host", "port", "local"),
    [("127.0.0.1:1", "127.0.0.1", 1, True), ("[::1]:2", "::1", 2, True), ("localhost:0", "localhost", 0, True),
     ("evil.example:3", "evil.example", 3, False), ("[::]:4", "::", 4, False)],
)  # fmt: skip
def test_addresses(address: str, host: str, port: int, local: bool) -> None:
    assert split_address(address) == (host, port)
    assert is_loopback(host) is local
