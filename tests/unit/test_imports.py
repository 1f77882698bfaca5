"""Who may import whom: a service imports itself, `services.kit` and `bmase`, and nothing else of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = frozenset({"services", "infra", "bmase", "tests", "bench", "examples"})
SERVICES = ("gateway", "registry", "trainer", "monitor", "patcher")
HEAVY = frozenset(
    {
        "torch",
        "ray",
        "tensorflow",
        "tf2onnx",
        "skl2onnx",
        "onnxmltools",
        "sklearn",
        "transformers",
        "xgboost",
        "lightgbm",
    }
)


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Every module that the source imports, wherever the import stands, with its line."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        else:
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).strip(".")
            # `from services import registry` imports services.registry.
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)


def _within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def broken(folder: Path, allowed: tuple[str, ...], root: Path = ROOT) -> list[str]:
    """Imports under the folder of something of ours that is not allowed there."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        package = ".".join(path.relative_to(root).parent.parts)
        for line, module in imported(path.read_text("utf-8"), package):
            # The bare package has nothing in it: whoever imports it only asks where it lies.
            if module.partition(".")[0] in OURS and module != "services" and not _within(module, allowed):
                found.append(f"{path.relative_to(root)}:{line} imports {module}")
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_itself_the_kit_and_the_contract(service: str) -> None:
    assert broken(ROOT / "services" / service, (f"services.{service}", "services.kit", "bmase")) == []


def test_the_kit_imports_no_service() -> None:
    assert broken(ROOT / "services" / "kit", ("services.kit", "bmase")) == []


def test_the_sdk_stands_alone() -> None:
    assert broken(ROOT / "sdk" / "bmase", ("bmase",)) == []


def test_infra_knows_the_contract_but_no_service() -> None:
    # The reference pages are written from the services' own settings and errors.
    reference = str(Path("infra", "reference"))
    found = broken(ROOT / "infra", ("infra", "bmase"))
    assert [line for line in found if not line.startswith(reference)] == []


def test_only_the_trainer_is_heavy() -> None:
    found = []
    for folder in ("services", "sdk", "infra"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            # What training code of users imports, and nothing else of the SDK does.
            if path.is_relative_to(ROOT / "services" / "trainer") or path.parent == ROOT / "sdk" / "bmase" / "training":
                continue
            modules = imported(path.read_text("utf-8"), "")
            found += [f"{path.relative_to(ROOT)}:{line}" for line, name in modules if name.partition(".")[0] in HEAVY]
    assert found == []


def test_the_walk_sees_every_form_of_import(tmp_path: Path) -> None:
    folder = tmp_path / "services" / "registry"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(
        "import services.patcher.plan\n"
        "from services import gateway\n"
        "from ..monitor import judge\n"
        "def late():\n"
        "    from infra import runtime\n"
        "import services.registry_evil\n"
        "from . import fine\n"
        "from services.kit import app\n"
        "from bmase.reasons import Reason\n"
    )
    lines = broken(folder, ("services.registry", "services.kit", "bmase"), tmp_path)
    assert [line.split(" imports ")[1] for line in lines] == [
        "services.patcher.plan",
        "services.gateway",
        "services.monitor.judge",
        "infra.runtime",
        "services.registry_evil",
    ]
