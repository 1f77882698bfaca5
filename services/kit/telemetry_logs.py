"""Structured logs on stderr: one line an event, with the trace id, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from opentelemetry import trace
from structlog.typing import Processor, WrappedLogger

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(r"token|secret|passw|authorization|credential|api_?key|private_?key|cookie", re.IGNORECASE)
# Names that only look like secrets: they say where to go on in a list.
_HARMLESS_KEYS = frozenset({"page_token", "next_page_token"})
# A credential behind its scheme, or the password of a URL: that is whatever stands up to the last @ of the word.
_SECRET_VALUE = re.compile(
    r"(?P<scheme>\bBearer\s+|\bBasic\s+)[^\s@,;'\"]+|(?P<user>://[^/\s:@]*:)(?:(?!://)\S)+(?=@)", re.IGNORECASE
)

Event = MutableMapping[str, Any]


def configure_logs(level: str, form: Literal["json", "console"], **fixed: str) -> None:
    """Sends the events of structlog and of the standard library to stderr in one form; `fixed` is on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_fixed(fixed),
        _with_trace,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form, shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aiohttp.access", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _formatter(form: str, shared: list[Processor]) -> logging.Formatter:
    # The richer tracebacks of the console print local variables, secrets among them.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if form == "console"
        else structlog.processors.JSONRenderer(default=str)
    )
    # Tracebacks become text before secrets are taken out: an exception's words may hold some.
    processors: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors)


def _with_fixed(fixed: dict[str, str]) -> Processor:
    def add(_: WrappedLogger, __: str, event: Event) -> Event:
        return {**fixed, **event}

    return add


def _with_trace(_: WrappedLogger, __: str, event: Event) -> Event:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", trace.format_trace_id(context.trace_id))
        event.setdefault("span_id", trace.format_span_id(context.span_id))
    return event


def redact(_: WrappedLogger, __: str, event: Event) -> Event:
    """Takes secrets out of an event: by the name of the key, and credentials inside any text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and key not in _HARMLESS_KEYS and not isinstance(value, bool | int | float):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_VALUE.sub(lambda found: f"{found['scheme'] or found['user']}{REDACTED}", value)
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    return value
