from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.kit.telemetry import Telemetry, current_trace_id
from services.kit.telemetry_logs import REDACTED, configure_logs, redact


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_both_loggers_write_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", service="shop")
    structlog.get_logger("a").info("event.one", n=1)
    logging.getLogger("b").warning("two %s", "words")
    one, two = _lines(capsys)
    assert (one["event"], one["n"], one["service"], one["level"]) == ("event.one", 1, "shop", "info")
    assert (two["event"], two["service"], two["level"]) == ("two words", "shop", "warning")


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", "json")
    structlog.get_logger("a").info("quiet")
    structlog.get_logger("a").error("loud")
    assert [line["event"] for line in _lines(capsys)] == ["loud"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_is_written(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", form)  # type: ignore[arg-type]
    secret = "hunter2hunter2"
    structlog.get_logger("a").info(
        "event",
        token=secret,
        metadata={"authorization": secret, "list": [f"mysql://root:{secret}@db/x"]},
        text=f"sent Bearer {secret} to http://u:{secret}@h/",
        s3_secret_key=secret,
    )
    logging.getLogger("b").info("url=%s", f"nats://u:{secret}@h")
    written = capsys.readouterr().err
    assert secret not in written
    assert written.count(REDACTED) >= 6
    assert "mysql://root:" in written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("listening on http://127.0.0.1:8080/metrics", "listening on http://127.0.0.1:8080/metrics"),
        ("grpc://[::1]:9, ipv4:1", "grpc://[::1]:9, ipv4:1"),
        ("http://a:1,http://b:2", "http://a:1,http://b:2"),
        ("mysql://u:one,two;three@h:3306/x", f"mysql://u:{REDACTED}@h:3306/x"),
        ("mysql://u:a/b'c\"d@h", f"mysql://u:{REDACTED}@h"),
        ("redis://:p@ss@h", f"redis://:{REDACTED}@h"),
        ("http://a:1,http://u:p@b:2", f"http://a:1,http://u:{REDACTED}@b:2"),
        ("u@h said Bearer abc.def", f"u@h said Bearer {REDACTED}"),
    ],
)
def test_addresses_are_shown_and_passwords_are_not(text: str, written: str) -> None:
    assert redact(None, "info", {"event": text}) == {"event": written}


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", form)  # type: ignore[arg-type]
    password = "hunter" + "2" * 8
    try:
        raise RuntimeError(f"cannot open db://u:{password}@h")
    except RuntimeError:
        structlog.get_logger("a").exception("event")
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert password not in written


def test_page_tokens_and_counts_are_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    structlog.get_logger("a").info("event", page_token="abc", tokens=3)
    (line,) = _lines(capsys)
    assert (line["page_token"], line["tokens"]) == ("abc", 3)


def test_lines_inside_a_span_carry_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    with Telemetry().tracer.start_as_current_span("s"):
        trace_id = current_trace_id()
        structlog.get_logger("a").info("inside")
    structlog.get_logger("a").info("outside")
    inside, outside = _lines(capsys)
    assert len(trace_id) == 32
    assert inside["trace_id"] == trace_id
    assert "trace_id" not in outside
