"""Where the job "reproduce" looks for data that were kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.trainer.engine import alone
from services.trainer.engine.attempt import Attempt, Brought
from services.trainer.recipes.recipe import Place
from services.trainer.reproduce import job
from services.trainer.reproduce.again import How
from services.trainer.reproduce.made import Made
from tests.unit.trainer.jobs.jobs import spec


class EnoughError(Exception):
    """Nothing has to be made again here."""


@pytest.mark.parametrize("told", ["", "s3://elsewhere/kept"])
def test_kept_data_are_in_the_trainer_s_own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    asked: list[str] = []

    def reproduce(version: Made, out: Path, how: How) -> None:
        asked.append(how.snapshots)
        raise EnoughError

    monkeypatch.setattr(job, "reproduce", reproduce)
    monkeypatch.setenv(job.SNAPSHOTS, told)
    attempt = Attempt(
        job="j1",
        number=1,
        model="digits",
        spec=spec(recipe="reproduce"),
        main="a:b",
        place=Place.ALONE,
        parameters={},
        blobs=tmp_path.as_uri(),
        materials=(Brought(name="digits@3", folder=tmp_path, version={}),),
    )
    run = alone._Run(attempt, {}, tmp_path, lambda said: None)
    with pytest.raises(EnoughError):
        job.main(run)
    assert asked == [told or tmp_path.as_uri()]
