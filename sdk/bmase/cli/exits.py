"""What a failed command says and how it exits.

0 done   1 failed   2 the command line, or what it names, is wrong   3 not found
4 the present state does not allow it   5 nobody answers   130 interrupted (Ctrl-C)
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bmase.errors import BmaseError, Conflict, InvalidArgument, NotConfigured, NotFound, Unavailable

FAILED, USAGE, NOT_FOUND, CONFLICT, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 4, 5, 130

_CODES: tuple[tuple[type[BmaseError], int], ...] = (
    (InvalidArgument, USAGE),
    (NotConfigured, USAGE),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (Unavailable, UNAVAILABLE),
)


def code_of(error: BmaseError) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def document(error: BmaseError) -> dict[str, Any]:
    """The error as JSON for machines."""
    return {
        "error": {
            "reason": error.reason,
            "status": error.status,
            "message": error.message,
            "hint": error.hint,
            "violations": [{"field": v.field, "description": v.description} for v in error.violations],
            "metadata": error.metadata,
        }
    }


def show(error: BmaseError, as_json: bool) -> None:
    """The error on stderr."""
    if as_json:
        print(json.dumps(document(error)), file=sys.stderr)
        return
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{plain} {error.message} [{error.reason}]", file=sys.stderr)
    for violation in error.violations:
        if violation.description not in error.message:
            print(f"  {violation.field}: {violation.description}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    if "trace_id" in error.metadata:
        print(f"trace: {error.metadata['trace_id']}", file=sys.stderr)
