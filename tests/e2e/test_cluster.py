"""Jobs on a Ray cluster by its address: they wait while it is away, and outlive the loss of one of its machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bmase import Client
from bmase.core.jobs import State
from bmase.trainer.v1 import trainer_pb2 as pb

from tests.support import jobs
from tests.support.cluster import RayCluster
from tests.support.ports import free_port
from tests.support.suite import Suite

pytestmark = pytest.mark.timeout(900)

CHECKPOINT_SECONDS = 1.0
PAUSE = 0.1  # seconds a step
STEPS = 120
# What an interval holds, and what was on its way when the node died.
MOST_LOST = int(2.5 * CHECKPOINT_SECONDS / PAUSE)
CODE = f"{jobs.CODE}\nprint(f'code {{__file__}}')\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Not started yet."""
    made = RayCluster(free_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def suite(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    settings = f'[trainer]\nray_address = "{cluster.address}"\ncheckpoint_seconds = {CHECKPOINT_SECONDS}\n'
    made = Suite(tmp_path_factory.mktemp("cluster") / "data", nodes=("blue",), settings=settings, trains=True)
    try:
        yield made.up()
    finally:
        made.down()


def _steps(client: Client, name: str, attempt: int) -> list[int]:
    """Reported by one attempt."""
    told = client.jobs.watch(name, kinds=[pb.WatchJobRequest.KIND_METRICS])
    return [event.metrics.step for event in told if event.attempt == attempt]


def test_a_job_waits_for_its_cluster_and_goes_on_when_a_node_of_it_is_lost(
    suite: Suite, cluster: RayCluster, tmp_path: Path
) -> None:
    client = suite.client
    digest = jobs.bundle(client, tmp_path, CODE)
    made = client.jobs.create(jobs.stepper("far", digest, workers=2, gib=0.5, steps=STEPS, pause=PAUSE))
    waits = jobs.until(client, made.name, lambda seen: cluster.address in seen.message, "told where Ray is not")
    assert (waits.state, waits.reason) == (State.STATE_QUEUED, "ENGINE_SILENT")
    assert "refused" in waits.message

    cluster.head()
    cluster.add("small", cpus=1)
    cluster.add("large", cpus=2)
    jobs.until(
        client, made.name, lambda seen: seen.progress.step >= 15 and len(seen.checkpoints) > 0, "stepping", timeout=240
    )
    workers = {cluster.node_of(pid): pid for pid in jobs.pids(client, made.name)}
    assert sorted(workers) == ["large", "small"]
    cluster.kill("small")

    seen = jobs.ended(client, made.name, timeout=240)
    assert seen.state == State.STATE_SUCCEEDED, seen
    first, last = seen.attempts[0], seen.attempts[-1]
    assert first.cause == pb.CAUSE_NODE_LOST, first
    assert last.from_step > 0
    assert max(_steps(client, made.name, first.number)) - last.from_step <= MOST_LOST
    assert sorted(jobs.series(client, made.name, "value")) == list(range(1, STEPS + 1))
    assert client.versions.get("far", 1).lineage.job == made.name
    brought = {line.split()[1] for line in jobs.lines(client, made.name) if line.startswith("code ")}
    assert len(brought) == 4  # each worker's own copy
    assert not any(path.startswith(str(suite.place.root)) for path in brought)
