"""A Ray cluster by its address: how that may look, and what is heard of its nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.trainer.config import TrainerSettings
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


@pytest.mark.parametrize("address", ["", "head:6379", "10.0.0.1:6379", "[fd00::1]:6379"])
def test_a_cluster_is_given_by_host_and_port(address: str, tmp_path: Path) -> None:
    assert TrainerSettings(data_dir=tmp_path, ray_address=address).ray_address == address


@pytest.mark.parametrize("address", ["auto", "head", "ray://head:10001", "head:", "head:6379 "])
def test_other_addresses_of_ray_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="ray_address"):
        TrainerSettings(data_dir=tmp_path, ray_address=address)
