"""HDFS through hdfs-native, which needs no Java; `HADOOP_CONF_DIR` tells it of name services and Kerberos."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cache

from fsspec.spec import AbstractFileSystem

# Left alone, a NameNode that is gone is asked for three minutes. These wait for about half a minute, which is what a
# failover takes; an installation's own configuration says it better.
PATIENCE = {"dfs.client.failover.max.attempts": "7", "dfs.client.failover.sleep.base.millis": "500"}
_TOLD_CHARACTERS = 300
_NODE = re.compile(r'ip_addr: \\?"([^"\\]*).*?xfer_port: (\d+)')


def connected(host: str, port: int | None) -> AbstractFileSystem:
    """The file system of a NameNode, or of a name service, which has no port."""
    return _driver()(host, port, **settings(os.environ))


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What the client is told beside the configuration that the installation has."""
    return {} if environ.keys() & {"HADOOP_CONF_DIR", "HADOOP_HOME"} else dict(PATIENCE)


def told(cause: BaseException) -> str:
    """A failure in one line: the client's errors carry stacks of Java and whole records of DataNodes."""
    text = str(cause)
    if nodes := _NODE.findall(text):
        return f"no DataNode that holds it answers: {', '.join(f'{address}:{port}' for address, port in nodes)}"
    return re.split(r"\n|\\n", text, maxsplit=1)[0][:_TOLD_CHARACTERS]


@cache
def _driver() -> Callable[..., AbstractFileSystem]:
    """One class, so fsspec finds the connection again that it made for the same NameNode."""
    from hdfs_native.fsspec import HdfsFileSystem  # noqa: PLC0415 - a driver only where it is needed

    class Hdfs(HdfsFileSystem):  # type: ignore[misc]
        """Says its scheme by itself; the base takes it from fsspec's table, where the name means another driver."""

        protocol = "hdfs"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            """Takes paths alone, in which `#` and `?` are letters as any other."""
            return path

    return Hdfs
