"""Brings the asked-for binaries here: everything missing at once, each item whole or not at all."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.runtime import manifest, plan
from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import Layout
from infra.runtime.plan import Step
from infra.runtime.progress import Progress
from infra.runtime.store import build_once, point


def bring(names: Iterable[str] = (), layout: Layout | None = None) -> dict[str, Path]:
    """Fetches what is missing of `names` (default: what the suite needs) and links it; returns programs by name.

    Raises `RuntimeSetupError` with one message for all items that could not be had; the others are in place then.
    """
    where = layout or Layout.current()
    steps = plan.steps(manifest.load(), names)
    missing = [step for step in steps if step.key and not where.item(step.key).is_dir()]
    failures = _fetch_all(missing, where) if missing else {}
    for step in steps:
        if step.name not in failures:
            _link(step, where)
    if failures:
        raise RuntimeSetupError("\n".join(failures.values()))
    return {Path(link).name: where.runtime / link for step in steps for link in step.links if link.startswith("bin/")}


def _fetch_all(missing: list[Step], layout: Layout) -> dict[str, str]:
    """Error messages by item; empty when all went well."""
    progress = Progress([step.title for step in missing])
    with ThreadPoolExecutor(len(missing)) as pool:
        outcomes = pool.map(functools.partial(_fetch, layout=layout, progress=progress), missing)
        return {step.name: message for step, message in zip(missing, outcomes, strict=True) if message}


def _fetch(step: Step, layout: Layout, progress: Progress) -> str:
    report = functools.partial(progress.stage, step.title)
    try:
        build_once(layout, step.name, step.key, lambda folder: step.build(folder, report))
    except RuntimeSetupError as error:
        progress.stage(step.title, "failed", final=True)
        return str(error)
    except OSError as error:
        progress.stage(step.title, "failed", final=True)
        return f"{step.title}: {error}. Is the disk of {layout.cache} full? BMASE_CACHE moves it."
    progress.stage(step.title, "ready", final=True)
    return ""


def _link(step: Step, layout: Layout) -> None:
    root = layout.item(step.key) if step.key else Path("/")
    for link, target in step.links.items():
        point(layout.runtime / link, root / target)  # an absolute target stays what it is
