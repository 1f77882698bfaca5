"""What the client of HDFS is told, and what it tells us, in words for people."""

from __future__ import annotations

import pytest

from services.trainer.data import hdfs


def test_an_installation_with_a_configuration_of_its_own_is_left_alone() -> None:
    assert hdfs.settings({}) == hdfs.PATIENCE
    assert hdfs.settings({"HADOOP_CONF_DIR": "/etc/hadoop"}) == {}
    assert hdfs.settings({"HADOOP_HOME": "/opt/hadoop"}) == {}


def node(address: str, port: int, quote: str) -> str:
    inside = f"ip_addr: {quote}{address}{quote}, host_name: {quote}h{quote}, xfer_port: {port}, info_port: 1"
    return f"DatanodeInfoProto {{ id: DatanodeIdProto {{ {inside} }}, capacity: Some(1) }}"


@pytest.mark.parametrize("quote", ['"', '\\"'])
def test_datanodes_that_do_not_answer_are_named_by_their_addresses(quote: str) -> None:
    text = (
        f"DataTransferError({quote}All DataNodes failed: [{node('10.0.0.1', 50, quote)}, {node('10.0.0.2', 51, quote)}]"
    )
    assert hdfs.told(RuntimeError(text)) == "no DataNode that holds it answers: 10.0.0.1:50, 10.0.0.2:51"


@pytest.mark.parametrize("line", ["\n", "\\n"])
def test_stacks_of_java_are_left_out(line: str) -> None:
    text = f"Permission denied: user=a, path=/b{line}\tat org.apache.hadoop.Server.run(Server.java:1)"
    assert hdfs.told(OSError(text)) == "Permission denied: user=a, path=/b"


def test_what_is_told_is_bounded() -> None:
    assert len(hdfs.told(RuntimeError("x" * 10_000))) == 300
