"""What `bmase train` makes of its options, and of a folder of code."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import typer
from bmase.cli import jobs, jobview
from bmase.cli.command import Cli
from bmase.trainer.v1 import trainer_pb2 as pb


def test_a_place_may_have_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "year=2026").mkdir()
    given = ["year=2026", "films=s3://bucket/films", "s3://bucket/year=2025", "films=more.csv"]
    assert jobs.sources(given) == {
        "data": ["year=2026", "s3://bucket/year=2025"],
        "films": ["s3://bucket/films", "more.csv"],
    }


def test_the_same_code_is_the_same_bundle_and_holds_what_its_links_point_at(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1\n")
    for name, mode in (("one", 0o600), ("two", 0o755)):
        (tmp_path / name / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "__pycache__" / "a.pyc").write_bytes(b"")
        (tmp_path / name / "train.py").write_text("y = 2\n")
        (tmp_path / name / "train.py").chmod(mode)
        (tmp_path / name / "linked.py").symlink_to(outside)
        jobview._pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        assert {member.name: member.isreg() for member in tar} == {"linked.py": True, "train.py": True}


@pytest.mark.parametrize(("as_json", "shown"), [(False, ["jobs/1"]), (True, [])])
def test_what_a_failed_job_printed_is_shown_to_people(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, shown: list[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(jobview, "follow", lambda _, name: pb.Job(name=name, state=pb.Job.STATE_FAILED))
    monkeypatch.setattr(jobview, "logs", lambda _, name, keep_on: said.append(name))
    with pytest.raises(typer.Exit):
        jobs.follow(Cli({}, as_json), "jobs/1", logs=True)
    assert said == shown
