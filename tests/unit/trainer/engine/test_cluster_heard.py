"""What a cluster's nodes are taken to be, from the lines of the process that asks it."""

from __future__ import annotations

from services.trainer.engine.cluster import Cluster
from services.trainer.jobs.capacity import Amount

NODES = b'{"nodes": {"n1": {"millicpus": 2000, "memory_bytes": 1024, "gpus": 0}}}\n'


def test_what_ray_prints_among_the_lines_is_not_taken_for_one() -> None:
    cluster = Cluster("host:1")
    cluster.hear(b"(raylet) The node n2 has been marked dead\n")
    assert cluster.nodes is None
    cluster.hear(NODES)
    cluster.hear(b"(raylet) The node n2 has been marked dead\n")
    assert cluster.nodes == {"n1": Amount(2000, 1024, 0)}


def test_why_it_is_silent_is_known_until_it_answers() -> None:
    cluster = Cluster("host:1")
    cluster.hear(b'{"problem": "connection refused"}\n')
    assert (cluster.nodes, cluster.problem) == (None, "connection refused")
    cluster.hear(NODES)
    assert cluster.problem == ""
