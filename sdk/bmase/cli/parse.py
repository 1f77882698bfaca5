"""Reading what stands on the command line, into plain values; what is wrong is a usage error that names the option."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

import typer

Value = TypeVar("Value")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def pairs(items: Iterable[str] | None, option: str, convert: Callable[[str], Value]) -> dict[str, Value]:
    """`key=value` items as a mapping."""
    found: dict[str, Value] = {}
    for item in items or ():
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{item!r} must have the form KEY=VALUE", param_hint=option)
        try:
            found[key] = convert(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a number", param_hint=option) from None
    return found


def weights(items: Iterable[str]) -> dict[int, int]:
    """`VERSION=WEIGHT` items (a % sign behind the weight is allowed) as a mapping."""
    found: dict[int, int] = {}
    for item in items:
        match = re.fullmatch(r"v?(\d+)=(\d+)%?", item)
        if not match:
            raise typer.BadParameter(
                f"{item!r} must have the form VERSION=WEIGHT, for example 2=10", param_hint="WEIGHTS"
            )
        found[int(match[1])] = int(match[2])
    return found


def duration(text: str, option: str) -> timedelta:
    """`500ms`, `5s`, `2m`, or plain seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a duration: write 500ms, 5s or 2m", param_hint=option)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def version(text: str) -> int:
    """A version number; aliases are not allowed where this is used."""
    match = re.fullmatch(r"v?(\d+)", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a version number", param_hint="VERSION")
    return int(match[1])
