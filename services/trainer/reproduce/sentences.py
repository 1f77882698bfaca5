"""A verdict in one sentence, for people."""

from __future__ import annotations

from collections.abc import Sequence


def say(
    *, outcome: str, files: int, first: str, greatest: Sequence[str], changed: Sequence[str], unmet: Sequence[str]
) -> str:
    """`first`: where the two part; `greatest`: how far they are apart within the tolerance; `changed`: what differs in
    the records; `unmet`: what determinism lacked while one of them was made.
    """
    match outcome:
        case "identical":
            told = f"The reproduction is identical: {_files(files)} {'has' if files == 1 else 'have'} the same digest"
            told += f", yet {first}" if first else ""
        case "equal":
            apart = " and ".join(greatest) or "other bytes, but no tensor and no output differs"
            told = f"The reproduction is equal within the declared tolerance: {apart}"
        case _:
            told = f"The reproduction is different: {first}"
    return f"{told}; {_causes(changed, unmet, wanted=outcome == 'different')}".rstrip("; ") + "."


def _files(count: int) -> str:
    return "its file" if count == 1 else f"all {count} files"


def _causes(changed: Sequence[str], unmet: Sequence[str], *, wanted: bool) -> str:
    if changed:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"in its record, {changed[0]}{more}"
    if not wanted:
        return ""
    if unmet:
        return f"the records are the same, but {unmet[0]}"
    return "the records are the same, so the cause is something that they do not hold"
