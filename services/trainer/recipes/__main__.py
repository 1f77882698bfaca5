"""A recipe without the service: `python -m services.trainer.recipes NAME --data PATH --set epochs=5 --out DIR`."""

from __future__ import annotations

import importlib
import sys

from bmase.training import Run, local

from services.kit.errors import DomainError
from services.trainer.recipes.catalogue import by_name


def _main() -> None:
    try:
        recipe = by_name(sys.argv[1] if len(sys.argv) > 1 else "")
        module, _, function = recipe.main.partition(":")

        def main(run: Run) -> None:
            run.parameters = recipe.check(run.parameters).model_dump()
            getattr(importlib.import_module(module), function)(run)

        local(main, sys.argv[2:])
    except DomainError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
