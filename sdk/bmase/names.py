"""Resource names: `digits` and `models/digits` both name a model, `3`, `v3`, `stable` and `latest` a version.

The server decides what is a valid name; here only what would change the meaning of a resource name is refused.
"""

from __future__ import annotations

from bmase.errors import InvalidArgument, Violation

LATEST = "latest"


def model(name: str) -> str:
    """`models/{model}` for a model's short or full name."""
    return f"models/{segment(name.removeprefix('models/'), 'model')}"


def version(model_name: str, number_or_alias: int | str | None = None) -> str:
    """`models/{model}/versions/{n}`; without a version the latest one."""
    return f"{model(model_name)}/versions/{segment(_version(number_or_alias), 'version')}"


def reference(text: str) -> tuple[str, str | None]:
    """The model and the version in `digits@3` or `digits@stable`; no version in `digits`."""
    name, at, which = text.partition("@")
    if at and not which:
        raise InvalidArgument(
            f"{text!r} names no version behind the @", reason="INVALID_FIELD", hint=f"For example: {name}@latest"
        )
    return name, which or None


def deployment(model_name: str, number: int) -> str:
    """`models/{model}/deployments/{n}`."""
    return f"{model(model_name)}/deployments/{number}"


def route(model_name: str) -> str:
    """`routes/{model}`."""
    return f"routes/{short(model(model_name))}"


def node(name: str) -> str:
    """`nodes/{node}`."""
    return f"nodes/{segment(name.removeprefix('nodes/'), 'node')}"


def release(name: str) -> str:
    """`releases/{id}`."""
    return f"releases/{segment(name.removeprefix('releases/'), 'release')}"


def pipeline(name: str) -> str:
    """`pipelines/{id}`."""
    return f"pipelines/{segment(name.removeprefix('pipelines/'), 'pipeline')}"


def schedule(name: str) -> str:
    """`schedules/{id}`."""
    return f"schedules/{segment(name.removeprefix('schedules/'), 'schedule')}"


def job(name: str) -> str:
    """`jobs/{id}`."""
    return f"jobs/{segment(name.removeprefix('jobs/'), 'job')}"


def comparison(name: str) -> str:
    """`comparisons/{release}`, for a release's short or full name, too."""
    return f"comparisons/{segment(name.removeprefix('comparisons/').removeprefix('releases/'), 'comparison')}"


def capture(model_name: str) -> str:
    """`captures/{model}`."""
    return f"captures/{short(model(model_name))}"


def alert(name: str) -> str:
    """`alerts/{id}`."""
    return f"alerts/{segment(name.removeprefix('alerts/'), 'alert')}"


def alias(name: str) -> str:
    """The alias itself, unless it would be read as a version's number."""
    if number(name) is not None:
        text = f"{name!r} cannot be an alias: it means version {number(name)} wherever a version is named"
        raise InvalidArgument(text, reason="INVALID_FIELD", violations=[Violation("alias", text)])
    return segment(name, "alias")


def short(name: str) -> str:
    """The last segment of a resource name."""
    return name.rsplit("/", 1)[-1]


def number(text: int | str | None) -> int | None:
    """The version number that is meant, or None for an alias (or nothing at all)."""
    plain = _version(text)
    return int(plain) if plain.isascii() and plain.isdigit() else None


def segment(text: str, field: str) -> str:
    """The text itself, when it is one non-empty segment of a resource name."""
    if not text or "/" in text:
        raise InvalidArgument(
            f"{text!r} is not a {field} name: it must not be empty or contain '/'",
            reason="INVALID_FIELD",
            violations=[Violation(field, "must be one non-empty segment")],
        )
    return text


def _version(text: int | str | None) -> str:
    if text is None:
        return LATEST
    plain = str(text)
    return plain[1:] if plain[:1] == "v" and plain[1:].isdigit() else plain
