"""Jobs on real Ray while things die: what is resumed, what is lost, who is harmed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bmase import Client
from bmase.core.jobs import State
from bmase.errors import InvalidArgument, PreconditionFailed
from bmase.trainer.v1 import trainer_pb2 as pb

from services.trainer.engine.locks import NEEDED
from tests.support import jobs
from tests.support.suite import Suite
from tests.support.wheelhouse import unbuildable

pytestmark = pytest.mark.timeout(600)

CHECKPOINT_SECONDS = 3.0
PAUSE = 0.1  # seconds a step, at least
MOST_LOST = int(CHECKPOINT_SECONDS / PAUSE)  # steps of one interval


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("training")
    settings = f"[trainer]\ncpus = 4\ncheckpoint_seconds = {CHECKPOINT_SECONDS}\n"
    made = Suite(folder / "data", nodes=("blue",), settings=settings, trains=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_OFFLINE", "1")
        patch.setenv("BMASE_TRAINER_ENVIRONMENTS", str(folder / "environments"))
        try:
            yield made.up()
        finally:
            made.down()


@pytest.fixture(scope="module")
def client(suite: Suite) -> Client:
    return suite.client


@pytest.fixture(scope="module")
def code(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    return jobs.bundle(client, tmp_path_factory.mktemp("code"))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _stepping(client: Client, made: pb.Job) -> pb.Job:
    """Under way, with a checkpoint behind it and half an interval since."""

    def reached(seen: pb.Job) -> bool:
        return bool(seen.checkpoints) and seen.progress.step >= seen.checkpoints[-1].step + MOST_LOST // 2

    return jobs.until(client, made.name, reached, "stepping with a checkpoint")


def _resumed_well(client: Client, name: str, steps: int, cause: pb.Cause) -> None:
    seen = jobs.ended(client, name)
    assert seen.state == State.STATE_SUCCEEDED, seen
    assert len(seen.attempts) == 2, seen.attempts
    first, second = seen.attempts
    assert first.cause == cause, first
    assert second.from_step > 0
    assert sorted(jobs.series(client, name, "value")) == list(range(1, steps + 1))
    reached = max(
        event.metrics.step
        for event in client.jobs.watch(name, kinds=[pb.WatchJobRequest.KIND_METRICS])
        if event.attempt == first.number and event.WhichOneof("event") == "metrics"
    )
    assert reached - second.from_step <= MOST_LOST, (reached, second.from_step)
    assert client.versions.get(seen.model.removeprefix("models/"), 1).lineage.job == name


def test_a_killed_worker_is_replaced_and_the_job_goes_on_from_its_checkpoint(client: Client, code: str) -> None:
    made = client.jobs.create(jobs.stepper("worker", code, workers=2, steps=80, pause=PAUSE))
    _stepping(client, made)
    os.kill(jobs.pids(client, made.name)[-1], signal.SIGKILL)
    _resumed_well(client, made.name, 80, pb.CAUSE_WORKER_LOST)


def test_the_trainer_is_killed_and_the_job_goes_on_from_its_checkpoint(suite: Suite, client: Client, code: str) -> None:
    made = client.jobs.create(jobs.stepper("trainer", code, steps=80, pause=PAUSE))
    _stepping(client, made)
    (worker,) = jobs.pids(client, made.name)
    suite.kill("trainer")
    suite.until(lambda: not _alive(worker), "the worker is gone", 60)
    suite.until_ready("trainer", timeout=60)
    _resumed_well(client, made.name, 80, pb.CAUSE_TRAINER_LOST)


def test_a_cancelled_job_frees_what_it_held(suite: Suite, client: Client, code: str) -> None:
    held = client.jobs.create(jobs.stepper("held", code, workers=3, forever=True))
    jobs.until(client, held.name, lambda seen: len(jobs.pids(client, held.name)) == 3, "all workers begun")
    workers = jobs.pids(client, held.name)
    waiting = client.jobs.create(jobs.stepper("waiting", code, workers=2))
    jobs.until(client, waiting.name, lambda seen: seen.reason == "CAPACITY", "waiting for room")
    client.jobs.cancel(held.name, "no longer needed")
    over = jobs.ended(client, held.name)
    assert (over.state, over.message) == (State.STATE_CANCELLED, "no longer needed")
    suite.until(lambda: not any(map(_alive, workers)), "the workers are gone", 60)
    assert jobs.ended(client, waiting.name).state == State.STATE_SUCCEEDED
    assert client.jobs.cancel(held.name).state == State.STATE_CANCELLED
    with pytest.raises(PreconditionFailed) as refused:
        client.jobs.cancel(waiting.name)
    assert refused.value.reason == "JOB_ENDED"


def test_poisoned_jobs_fail_alone_and_say_why(client: Client, code: str) -> None:
    bad = {
        "raises": (jobs.stepper("raises", code, **{"raise": "no such colour"}), pb.CAUSE_ERROR, "no such colour"),
        "eats": (jobs.stepper("eats", code, gib=0.5, eat=True), pb.CAUSE_OUT_OF_MEMORY, "512 MiB"),
        "loops": (jobs.stepper("loops", code, seconds=40, forever=True), pb.CAUSE_TIME_LIMIT, "limit of 40 s"),
    }
    made = {name: client.jobs.create(wanted) for name, (wanted, _, _) in bad.items()}
    good = client.jobs.create(jobs.stepper("good", code, steps=5))
    assert jobs.ended(client, good.name).state == State.STATE_SUCCEEDED
    for name, (_, cause, words) in bad.items():
        seen = jobs.ended(client, made[name].name)
        assert (seen.state, seen.cause) == (State.STATE_FAILED, cause), seen
        assert words in seen.message
        assert len(seen.attempts) == 1
    raised = client.jobs.get(made["raises"].name).message
    assert "stepper.py" in raised
    assert "services/trainer" not in raised


def test_a_worker_that_always_dies_is_given_up_after_some_attempts_only(client: Client, code: str) -> None:
    made = client.jobs.create(jobs.stepper("dies", code, exit=7))
    seen = jobs.until(client, made.name, lambda job: len(job.attempts) >= 2, "tried again")
    assert seen.attempts[0].cause == pb.CAUSE_WORKER_LOST
    client.jobs.cancel(made.name)
    assert jobs.ended(client, made.name).state == State.STATE_CANCELLED


def _lock(client: Client, folder: Path, text: str) -> str:
    (folder / "environment.txt").write_text(text)
    return client.upload(folder / "environment.txt")


def test_an_environment_that_cannot_be_built_ends_its_job_alone(client: Client, code: str, tmp_path: Path) -> None:
    wanted = jobs.stepper("no-environment", code)
    wanted.environment_digest = _lock(client, tmp_path, unbuildable())
    seen = jobs.ended(client, client.jobs.create(wanted).name)
    assert (seen.state, seen.cause) == (State.STATE_FAILED, pb.CAUSE_ERROR)
    assert "uv pip install ended with" in seen.message
    assert "fsspec" in seen.message
    assert jobs.lines(client, seen.name) == [f"builds the environment of the lock: {len(NEEDED)} packages, by uv"]


def test_bad_input_is_refused_before_anything_is_kept(client: Client, code: str, tmp_path: Path) -> None:
    before = len(list(client.jobs.list()))
    wrong = [
        (jobs.job("m", recipe="image-clasification", data={"data": "file:///x.npz"}), "image-classification"),
        (jobs.job("m", recipe="image-classification"), "data"),
        (jobs.job("m", recipe="tabular", data={"data": "/x.csv"}, parameters={"target": "y", "rouns": 3}), "rouns"),
        (
            jobs.job("m", recipe="tabular", data={"data": "/x.csv"}, parameters={"target": "y"}, gates=["acuracy > 1"]),
            "accuracy",
        ),
        (jobs.job("m", bundle=code, entry_point="not an entry"), "entry_point"),
        (pb.Job(model="models/m", recipe="tabular", environment_digest="sha256:" + "0" * 64), "environment_digest"),
        (
            jobs.job("m", bundle=code, entry_point="a:main", environment=_lock(client, tmp_path, "numpy\n")),
            "line 1: numpy is not pinned",
        ),
    ]
    for wanted, words in wrong:
        with pytest.raises(InvalidArgument) as refused:
            client.jobs.create(wanted)
        assert words in str(refused.value)
    assert len(list(client.jobs.list())) == before


def test_missing_code_and_missing_data_name_themselves(client: Client, code: str) -> None:
    absent = client.jobs.create(jobs.stepper("absent", "sha256:" + "0" * 64))
    nowhere = jobs.stepper("nowhere", code)
    nowhere.data.add(name="data", uris=["file:///nowhere/at/all.npz"])
    lost = client.jobs.create(nowhere)
    assert "0000" in jobs.ended(client, absent.name).message
    seen = jobs.ended(client, lost.name)
    assert (seen.state, seen.cause) == (State.STATE_FAILED, pb.CAUSE_ERROR)
    assert "/nowhere/at/all.npz" in seen.message


def test_the_whole_machine_dies_and_the_job_goes_on(suite: Suite, client: Client, code: str) -> None:
    made = client.jobs.create(jobs.stepper("machine", code, steps=80, pause=PAUSE))
    _stepping(client, made)
    workers = jobs.pids(client, made.name)
    suite.kill_everything()
    for worker in workers:  # it is not of the suite's own processes when Ray has lost its mark
        if _alive(worker):
            os.kill(worker, signal.SIGKILL)
    time.sleep(0.5)
    suite.up()
    seen = jobs.ended(client, made.name)
    assert seen.state == State.STATE_SUCCEEDED
    assert seen.attempts[-1].from_step > 0
