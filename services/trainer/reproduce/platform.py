"""The platform's own part in a training: the files of a recipe, and of what gives it its rows and its seed.

Covered are the modules from which a training starts and everything that they import, directly or not, within
`services.trainer` and `bmase.training`: recipes, the reading and splitting of data, what is set before the code.
Not covered is what carries messages and stores files (the kit, the contract, the registry), because no number comes
from there, and a new error text would else be another code. Libraries are in the lock of the environment.

Imports are read, not run: those in functions count, those for type checkers do not, and names that are put together
while the code runs are not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from services.trainer.reproduce.code import Code, CodeFile, file_digest

COVERED = ("services.trainer", "bmase.training")
# Whatever the recipe is, and also for users' code.
ALWAYS = ("bmase.training", "services.trainer.data", "services.trainer.reproduce.determinism")
FOLDER = "platform"  # before the paths of these files, apart from those of a bundle


def recipe_code(entry: str, also: Sequence[str] = ()) -> Code:
    """Of "module:function". `also`: further modules that it is run by."""
    return Code(files=platform_files((entry.partition(":")[0], *also)), entry=entry)


def platform_files(modules: Sequence[str] = ()) -> tuple[CodeFile, ...]:
    """Of these modules, what is always there, and what they import; paths as `platform/services/trainer/...`."""
    found = closure((*ALWAYS, *modules), roots())
    return tuple(
        CodeFile(path=f"{FOLDER}/{path.relative_to(root).as_posix()}", digest=file_digest(path))
        for path, root in sorted(found.items())
    )


@cache
def roots() -> Mapping[str, Path]:
    """Name of a package of ours -> the folder that it lies in, installed or in a checkout."""
    import bmase  # noqa: PLC0415 - only where they lie is asked

    import services  # noqa: PLC0415

    return {
        name: Path(next(iter(module.__path__))).parent for name, module in (("services", services), ("bmase", bmase))
    }


def closure(modules: Sequence[str], roots: Mapping[str, Path], covered: Sequence[str] = COVERED) -> dict[Path, Path]:
    """Files of the modules and of all that they import -> the root below which each lies. Packages that a module lies
    in are run before it, so they belong to it.
    """
    found: dict[Path, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if not _is_covered(name, covered) or (path := _file(name, roots)) is None or path in found:
            continue
        found[path] = roots[name.partition(".")[0]]
        waiting += [*_parents(name), *_imports(path, name)]
    return found


def _is_covered(name: str, covered: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in covered)


def _file(name: str, roots: Mapping[str, Path]) -> Path | None:
    base = roots[name.partition(".")[0]].joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts)))


def _imports(path: Path, name: str) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _run_nodes(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)  # a module, or only a name in one


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _run_nodes(other)
        else:
            yield from _run_nodes(child)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    kept = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])
