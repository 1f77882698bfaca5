"""Which of the platform's files a training is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.trainer.reproduce.platform import closure, platform_files, recipe_code


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "ours/__init__.py": "",
        "ours/kit.py": "import ours.recipes.never\n",
        "ours/recipes/__init__.py": "from . import words\n",
        "ours/recipes/words.py": "",
        "ours/recipes/never.py": "",
        "ours/recipes/typed.py": "",
        "ours/recipes/digits.py": (
            "from __future__ import annotations\n"
            "import os, ours.kit\n"
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from ours.recipes import typed\n"
            "def main(run):\n    from ..nets.cnn import Net\n    from ours.nets import losses\n"
        ),
        "ours/nets/__init__.py": "",
        "ours/nets/cnn.py": "from ours.recipes.digits import main\n",
        "ours/nets/losses.py": "",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_recipe_is_what_it_imports_of_ours_wherever_it_does(root: Path) -> None:
    found = closure(["ours.recipes.digits"], {"ours": root}, ("ours.recipes", "ours.nets"))
    assert sorted(path.relative_to(root).as_posix() for path in found) == [
        "ours/nets/__init__.py",
        "ours/nets/cnn.py",
        "ours/nets/losses.py",
        "ours/recipes/__init__.py",
        "ours/recipes/digits.py",
        "ours/recipes/words.py",
    ]


def test_what_feeds_a_training_is_covered_and_what_carries_messages_is_not() -> None:
    paths = {file.path for file in platform_files()}
    assert "platform/services/trainer/data/splits.py" in paths
    assert "platform/services/trainer/reproduce/determinism.py" in paths
    assert "platform/bmase/training/run.py" in paths
    assert not [path for path in paths if "/kit/" in path or "_pb2" in path]


def test_a_recipe_has_its_module_and_its_entry() -> None:
    code = recipe_code("services.trainer.evaluation.calibration:main")
    assert code.entry == "services.trainer.evaluation.calibration:main"
    assert "platform/services/trainer/evaluation/calibration.py" in {file.path for file in code.files}
    assert code.digest != recipe_code("services.trainer.evaluation.slices:main").digest
