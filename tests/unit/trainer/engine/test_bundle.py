"""A job's own code on its way to workers."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.engine import bundle
from services.trainer.engine.attempt import Attempt
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.sources import manifests_key
from services.trainer.jobs.spec import Bundle, Spec
from services.trainer.recipes.recipe import Place


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """With code in a folder of the trainer's, and a blob store that knows the job."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "before")
    code = tmp_path / "attempts" / "code"
    (code / "far_package").mkdir(parents=True)
    (code / "far_package" / "__init__.py").write_text("answer = 42\n")
    manifests = tmp_path / "manifests.json"
    manifests.write_text("{}")
    store = (tmp_path / "blobs").as_uri()
    Blobs(store).put(manifests_key("j1"), manifests)
    spec = Spec(model="models/m", bundle=Bundle(digest="sha256:" + "0" * 64, entry_point="far_package:main"))
    return Attempt(
        job="j1",
        number=1,
        model="m",
        spec=spec,
        main="far_package:main",
        place=Place.WORKERS,
        parameters={},
        blobs=store,
        code=code,
    )


def test_workers_have_the_code_where_the_trainers_folders_are_not(attempt: Attempt, tmp_path: Path) -> None:
    sent = bundle.send(attempt, Blobs(attempt.blobs), tmp_path)
    shutil.rmtree(tmp_path / "attempts")
    assert str(tmp_path / "attempts") not in sent.model_dump_json()
    node = tmp_path / "node"
    node.mkdir()
    bundle.receive(sent, Blobs(sent.blobs), node)
    assert importlib.import_module("far_package").answer == 42
    assert os.environ["PYTHONPATH"] == f"{node / 'code'}{os.pathsep}before"


def test_code_that_was_changed_in_the_store_is_not_run(attempt: Attempt, tmp_path: Path) -> None:
    sent = bundle.send(attempt, Blobs(attempt.blobs), tmp_path)
    assert sent.bundle is not None
    with (tmp_path / "blobs" / sent.bundle.key).open("r+b") as kept:
        kept.write(b"evil")
    with pytest.raises(DomainError) as refused:
        bundle.receive(sent, Blobs(sent.blobs), tmp_path)
    assert refused.value.reason is Reason.DIGEST_MISMATCH


def test_a_machine_that_does_not_see_the_trainers_blob_store_says_so(attempt: Attempt, tmp_path: Path) -> None:
    sent = bundle.send(attempt, Blobs(attempt.blobs), tmp_path).model_copy(
        update={"blobs": (tmp_path / "elsewhere").as_uri()}
    )
    with pytest.raises(DomainError, match="does not see") as refused:
        bundle.receive(sent, Blobs(sent.blobs), tmp_path)
    assert "blob_url" in refused.value.hint
