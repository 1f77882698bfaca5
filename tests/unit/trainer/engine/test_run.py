"""A job's own view: its files, its checkpoints, what it may report; and what becomes of an error."""

from __future__ import annotations

import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.reasons import Reason
from bmase.training import Batch, Product, Run
from pydantic import ValidationError

from services.kit.errors import DomainError
from services.trainer.data import Column, File, Manifest, Splits, discover
from services.trainer.engine import blobs as stores
from services.trainer.engine import packing, sources
from services.trainer.engine.attempt import Attempt, Checkpointed, Kept, Logged, Said
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.calling import CodeFailedError, call, failure
from services.trainer.engine.pace import Least, alone
from services.trainer.engine.run import JobRun, _thinned, table
from services.trainer.engine.telling import told
from services.trainer.jobs.events import LONGEST_LINE
from services.trainer.jobs.state import Cause
from services.trainer.recipes.recipe import Place
from tests.unit.trainer.jobs.jobs import spec

SILENT = DomainError(Reason.STORE_UNAVAILABLE, "the store does not answer")


def made(
    tmp_path: Path, said: list[Said], *, main: str = "a:b", sources: Any = None, least: Least = alone, **fields: Any
) -> JobRun:
    attempt = attempted(tmp_path, main, **fields)
    folder = tmp_path / "worker"
    folder.mkdir(exist_ok=True)
    return JobRun(attempt, sources or {}, folder, said.append, least=least)


def attempted(tmp_path: Path, main: str = "a:b", **fields: Any) -> Attempt:
    return Attempt(
        job="j1",
        number=1,
        model="digits",
        spec=spec(),
        main=main,
        place=Place.WORKERS,
        parameters={},
        blobs=(tmp_path / "blobs").as_uri(),
        **fields,
    )


def two_kept(tmp_path: Path) -> tuple[Kept, Kept]:
    """Checkpoints of steps 5 and 6."""
    said: list[Said] = []
    run = made(tmp_path, said)
    for step in (5, 6):
        run.checkpoint(step, {"step": step})
        while len(said) < step - 4:
            time.sleep(0.01)
    run._writer.close()
    earlier, last = (each.kept for each in said if isinstance(each, Checkpointed))
    return earlier, last


def silent_for(times: int, then: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    def answer(*given: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise SILENT
        return then(*given, **named)

    return answer


def test_a_step_that_is_kept_twice_is_resumed_as_it_was_kept_last(tmp_path: Path) -> None:
    said: list[Said] = []
    run = made(tmp_path, said)
    run.checkpoint(5, {"weight": np.array([1.0])})
    while not said:
        time.sleep(0.01)
    run.checkpoint(5, {"weight": np.array([2.0])})
    run._writer.close()
    kept = [each.kept for each in said if isinstance(each, Checkpointed)]
    assert len({each.key for each in kept}) == 2
    saved = made(tmp_path, [], checkpoints=(kept[-1],)).resume()
    assert saved is not None
    assert (saved.step, float(saved.state["weight"][0])) == (5, 2.0)


def test_a_damaged_checkpoint_costs_one_interval_and_not_the_job(tmp_path: Path) -> None:
    earlier, last = two_kept(tmp_path)
    lost = Kept(key="jobs/j1/checkpoints/1-7-lost.pt", digest="sha256:" + "0" * 64, step=7)
    (tmp_path / "blobs" / last.key).write_bytes(b"half")
    words: list[Said] = []
    saved = made(tmp_path, words, checkpoints=(lost, last, earlier)).resume()
    assert saved is not None
    assert saved.step == 5
    assert ["step 7" in each.text or "step 6" in each.text for each in words if isinstance(each, Logged)] == [True] * 2
    with pytest.raises(DomainError) as none:
        made(tmp_path, [], checkpoints=(last,)).resume()
    assert none.value.reason is Reason.DIGEST_MISMATCH


def test_workers_go_on_from_a_checkpoint_that_is_whole_for_all_of_them(tmp_path: Path) -> None:
    earlier, last = two_kept(tmp_path)
    others = iter([0, 1])  # another worker could not read the last one

    def least(number: int) -> int:
        return min(number, next(others))

    saved = made(tmp_path, [], least=least, checkpoints=(last, earlier)).resume()
    assert saved is not None
    assert saved.step == 5
    others = iter([0])
    with pytest.raises(DomainError, match="another worker"):
        made(tmp_path, [], least=least, checkpoints=(last,)).resume()


def test_a_silent_store_keeps_training_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "AGAIN", 0.0)
    monkeypatch.setattr(Blobs, "put_by_digest", silent_for(3, Blobs.put_by_digest))
    said: list[Said] = []
    run = made(tmp_path, said)
    run.checkpoint(1, {"step": 1})
    run._writer.close()
    assert [each.kept.step for each in said if isinstance(each, Checkpointed)] == [1]
    monkeypatch.setattr(Blobs, "put_by_digest", silent_for(3, Blobs.put_by_digest))
    served = tmp_path / "served"
    served.mkdir()
    (served / "model.onnx").write_bytes(b"model")
    run.finish(Product(served))
    assert run.product is not None


def test_silence_is_a_loss_and_everything_else_the_jobs_own_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PATIENCE", -1.0)
    monkeypatch.setattr(Blobs, "put_by_digest", silent_for(9, Blobs.put_by_digest))
    (tmp_path / "silent_code.py").write_text("def main(run):\n    run.checkpoint(1, {})\n    run._writer.close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CodeFailedError) as caught:
        call(attempted(tmp_path, "silent_code:main"), made(tmp_path, []))
    assert (caught.value.failed.cause, caught.value.failed.message) == (Cause.WORKER_LOST, SILENT.message)
    monkeypatch.delitem(sys.modules, "silent_code")
    assert failure(DomainError(Reason.DATA_NOT_FOUND, "there is no x")).cause is Cause.ERROR
    assert failure(ValueError("no such colour")).cause is Cause.ERROR


@pytest.mark.parametrize("step", [-1, 2**63])
def test_a_step_that_nobody_could_be_told_is_refused_where_it_is_said(tmp_path: Path, step: int) -> None:
    run: Run = made(tmp_path, [])
    for say in (lambda: run.report(step), lambda: run.report(1, total=step), lambda: run.checkpoint(step, {})):
        with pytest.raises(ValidationError):
            say()


def test_what_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    said: list[Said] = []
    made(tmp_path, said).report(1, message="caf\udce9")
    with told(said.append, 0):
        print("caf\udce9")
        sys.stdout.write("x" * (LONGEST_LINE + 1))
    assert [each.message for each in said if not isinstance(each, Logged)] == ["caf?"]  # type: ignore[union-attr]
    lines = [each.text for each in said if isinstance(each, Logged)]
    assert lines[0] == "caf?"
    assert len(lines[1]) == LONGEST_LINE
    assert failure(ValueError("caf\udce9" * LONGEST_LINE)).message.startswith("ValueError: caf?")


def test_files_are_brought_once_and_stay_below_their_folder(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a\n1\n")
    manifest = discover((tmp_path / "one.csv").as_uri())
    run = made(tmp_path, [], sources={"data": manifest})
    (found,) = run.files()
    assert found.read_text() == "a\n1\n"
    assert run.files() == (found,)
    outside = File(uri="file:///x", bytes=0, sha256="0" * 64, rows=0, label=str(tmp_path / "outside"))
    column = Column(name="content", dtype="bytes")
    for files, words in [((outside,), "called"), ((outside.model_copy(update={"label": "a"}),) * 2, "two files")]:
        plain = Manifest(format="files", columns=(column,), files=files)
        with pytest.raises(DomainError, match=words):
            made(tmp_path, [], sources={"data": plain}).files()


def test_data_in_several_places_is_the_same_in_any_order_and_is_read_back(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(f"a\n{number}\n")
    parts = [discover((tmp_path / f"{number}.csv").as_uri()) for number in range(3)]
    assert len({part.digest for part in parts}) == 3  # each is known before they are joined
    joined = sources.joined(parts, "data")
    assert joined.digest == sources.joined(parts[::-1], "data").digest
    assert Manifest.from_json(joined.to_json()) == joined
    assert joined.rows == 3


def test_of_large_data_what_is_judged_is_held_and_no_more(tmp_path: Path) -> None:
    places = []
    for number in range(3):
        file = tmp_path / f"{number}.csv"
        file.write_text("a\n" + "".join(f"{number * 3000 + row}\n" for row in range(3000)))
        places.append(discover(file.as_uri()))
    manifest = sources.joined(places, "data")
    splits = Splits(train=0.8, validation=0.1, test=0.1)
    whole = table(manifest, splits, "train")["a"]
    for every, most in [(1, 100), (7, None), (7, 500), (4000, 5), (1, 10**6)]:
        np.testing.assert_array_equal(
            table(manifest, splits, "train", every=every, most=most)["a"], whole[::every][:most]
        )


def test_who_has_rows_enough_reads_no_more() -> None:
    def batches() -> Iterator[Batch]:
        yield {"a": np.arange(10)}
        pytest.fail("it is read on")

    (found,) = _thinned(batches(), 2, 5)
    assert list(found["a"]) == [0, 2, 4, 6, 8]


def test_large_files_are_packed_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "model.onnx").write_bytes(b"x" * 1000)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("all of it in memory"))
    packing.pack(Product(served), tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getmember("model/model.onnx").size == 1000
