"""Whether members were trained on the rows that weigh an ensemble or judge it, as far as their lineage says. Pure.

Rows are parted by what they hold (`services.trainer.data.splits`): where the same columns decide with the same salt,
equal rows lie at the same place of a line from 0 to 1, whatever files they are in, and what a training was given is an
interval of it. With other columns or salts the places are independent, so files in common are rows in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.data import Manifest, Part, Splits
from services.trainer.data.columns import BYTES, NUMBERS, TEXT
from services.trainer.reproduce.record import Data

NONE = 1e-9  # of all rows: what splits may differ by in rounding
IMPORT, ENSEMBLE = "import", "ensemble"  # recipes that are given no rows to train on


class Standing(StrEnum):
    """From what is known to be sound to what is known not to be."""

    CLEAN = "clean"
    UNKNOWN = "unknown"
    CONTAMINATED = "contaminated"


@dataclass(frozen=True)
class Lineage:
    """What a member's version says of its training. `missing`: why it has no record of it; then `stated` is the digest
    of the data that whoever made the version has given, if any.
    """

    recipe: str = ""  # empty: a user's own code
    data: Mapping[str, Data] = field(default_factory=dict)  # by the name of the source
    missing: str = ""
    stated: str = ""


@dataclass(frozen=True)
class Used:
    """The rows of an ensemble: those of `weighing` choose the weights, those of test give the verdict."""

    manifest: Manifest
    splits: Splits
    weighing: Sequence[Part] = (Part.VALIDATION,)


@dataclass(frozen=True, slots=True)
class Finding:
    """On one member. `weighing`, `judging`: the shares (0 to 1) of those rows that its training had, about; they are 0
    unless it is contaminated.
    """

    standing: Standing
    why: str
    weighing: float = 0.0
    judging: float = 0.0


def examine(lineage: Lineage, used: Used) -> Finding:
    """The worst that is to be said of any source of the member's training."""
    if lineage.missing:
        named = lineage.stated == used.manifest.digest
        more = "; it is said to be of these data, but not of which of their rows" if named else ""
        return Finding(Standing.UNKNOWN, lineage.missing + more)
    if lineage.recipe == IMPORT:
        return Finding(Standing.UNKNOWN, "it was imported; what it was trained on is not recorded")
    if lineage.recipe == ENSEMBLE:
        return Finding(Standing.UNKNOWN, "it is an ensemble; what its members were trained on is not in its record")
    found = [_source(name, data, used) for name, data in lineage.data.items() if data.manifest.format != "files"]
    if not found:
        return Finding(Standing.UNKNOWN, "its record names no rows; what its code was trained on is not recorded")
    order = list(Standing)
    return max(found, key=lambda each: (order.index(each.standing), each.judging, each.weighing))


def warnings(findings: Mapping[str, Finding]) -> list[str]:
    """One sentence for each member that is not known to be clean."""
    return [
        f"member {name} is {_CALLED[found.standing]}: {found.why}"
        for name, found in findings.items()
        if found.standing is not Standing.CLEAN
    ]


_CALLED = {
    Standing.UNKNOWN: "not known to be new to these rows",
    Standing.CONTAMINATED: "not new to these rows",
}


def refusal(findings: Mapping[str, Finding]) -> DomainError | None:
    """ENSEMBLE_CONTAMINATED that names the members which were trained on these rows; None when there are none."""
    seen = {name: found for name, found in findings.items() if found.standing is Standing.CONTAMINATED}
    if not seen:
        return None
    return DomainError(
        Reason.ENSEMBLE_CONTAMINATED,
        "; ".join(warnings(seen)),
        hint="Give the members' own data with their own split, or rows that no member has seen (--held-out); with "
        "force=true the version is made all the same.",
        metadata={name: found.why for name, found in seen.items()},
    )


def _source(name: str, data: Data, used: Used) -> Finding:
    weighing = _trained(data, used, used.weighing)
    judging = _trained(data, used, (Part.TEST,))
    if max(weighing, judging) <= NONE:
        return Finding(Standing.CLEAN, "rows were parted in the same way, and none of these were for its training")
    common = _in_common(data.manifest, used.manifest)
    parted = _parted(data, used)
    if not common:
        why = f"its source {name!r} was other files, {parted}; whether they hold rows of these is not recorded"
        return Finding(Standing.UNKNOWN, why)
    weighing, judging = weighing * common, judging * common
    held = "these data" if common == 1 else f"files with {_percent(common)} of these rows"
    why = (
        f"it was trained on about {_percent(judging)} of the rows that judge and {_percent(weighing)} of those that "
        f"weigh, as its source {name!r} was {held}, {parted}"
    )
    return Finding(Standing.CONTAMINATED, why, weighing, judging)


def _trained(data: Data, used: Used, parts: Sequence[Part]) -> float:
    """The share of the parts' rows that the training would have been given, had it the same files."""
    if data.splits is None:
        return 1.0
    begin, end = data.splits.span(Part.TRAIN)
    if _placed_by(data.manifest, data.splits) != _placed_by(used.manifest, used.splits):
        return end - begin
    spans = [used.splits.span(part) for part in parts]
    whole = sum(high - low for low, high in spans)
    both = sum(max(0.0, min(end, high) - max(begin, low)) for low, high in spans)
    return both / whole if whole > NONE else 0.0


def _placed_by(manifest: Manifest, splits: Splits) -> tuple[str, list[tuple[str, str]]]:
    """What its place depends on besides the row itself; widths of numbers do not count, nor does text or bytes."""
    known = {column.name: column.dtype for column in manifest.columns}
    return splits.salt, sorted((name, _kind(known[name])) for name in splits.deciding(manifest))


def _kind(dtype: str) -> str:
    if dtype in NUMBERS:
        return "number"
    return TEXT if dtype in {TEXT, BYTES} else dtype


def _in_common(theirs: Manifest, ours: Manifest) -> float:
    """The share of our rows that lie in files which they have too."""
    known = {file.sha256 for file in theirs.files}
    return sum(file.rows for file in ours.files if file.sha256 in known) / ours.rows if ours.rows else 0.0


def _parted(data: Data, used: Used) -> str:
    """How the member's rows were parted otherwise than ours, in words."""
    theirs, ours = data.splits, used.splits
    if theirs is None:
        return "all of whose rows were for training"
    if theirs.salt != ours.salt:
        return f"parted with the salt {theirs.salt!r} and not {ours.salt!r}"
    if theirs.key != ours.key:
        return f"parted by {_key(theirs)} and not by {_key(ours)}"
    if _placed_by(data.manifest, theirs) != _placed_by(used.manifest, ours):
        return "parted by other columns"
    return f"parted into {_shares(theirs)} and not into {_shares(ours)}"


def _key(splits: Splits) -> str:
    return ", ".join(splits.key) or "whole rows"


def _shares(splits: Splits) -> str:
    spans = [splits.span(part) for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)]
    return "/".join(f"{100 * (high - low):.4g}" for low, high in spans) + " % (training/validation/test)"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "under 1%"
