"""What the suite's commands refuse with: one sentence of what is wrong and one of what to do."""

from __future__ import annotations


class SuiteError(Exception):
    """Shown to the user as it is; `hint` names the next step, `details` are lines that explain (the end of a log)."""

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
