"""What is said of an ensemble: figures for its card, and the refusal of one that is not better."""

from __future__ import annotations

from collections.abc import Mapping

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.ensembles.paired import Interval
from services.trainer.ensembles.provenance import Finding
from services.trainer.ensembles.sentences import UNIT
from services.trainer.ensembles.tuning import Report


def table(report: Report, found: Mapping[str, Finding]) -> dict[str, str]:
    """The evaluation against each member, and what is known of its training, for the card."""
    unit, confidence = UNIT[report.kind], report.policy.confidence
    said = {"ensemble": report.sentence, f"{unit} of the ensemble": _spoken(report.loss)}
    for name, member in report.members.items():
        said[f"member {name}"] = (
            f"weight {member.weight:.3f}, {unit} {_spoken(member.loss)}, gain of the ensemble {_spoken(member.gain)}"
        )
    said |= {f"lineage of {name}": f"{each.standing}: {each.why}" for name, each in found.items()}
    said["intervals"] = f"{confidence:.0%}, paired, on {report.rows[1]:,} untouched rows; tuned on {report.rows[0]:,}"
    if report.forced:
        said["forced"] = "made whatever the verdict, and whatever members were trained on"
    return said


def _spoken(interval: Interval) -> str:
    return f"{interval.mean:.4g} ({interval.lower:.4g} to {interval.upper:.4g})"


def not_better(report: Report) -> DomainError:
    """With the figures; each gain is what the ensemble's loss is below the member's."""
    figures: Mapping[str, str] = {
        "verdict": report.verdict.value,
        "loss": f"{report.loss.mean:.6g}",
        "best": report.best,
        **{f"loss.{name}": f"{member.loss.mean:.6g}" for name, member in report.members.items()},
        **{f"gain.{name}": _spoken(member.gain) for name, member in report.members.items()},
        **{f"weight.{name}": f"{weight:.4g}" for name, weight in report.weights.items()},
    }
    return DomainError(
        Reason.ENSEMBLE_NOT_BETTER,
        f"the ensemble is {report.sentence}",
        hint="Add a member that errs elsewhere, or more held-out rows; force=true makes the version all the same.",
        metadata=dict(figures),
    )
