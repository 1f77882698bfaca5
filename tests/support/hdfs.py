"""A real HDFS: one NameNode and as many DataNodes as asked for, on loopback, each a process that may be killed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from infra.runtime import binary, ensure, hdfs_jars
from tests.support.ports import free_ports
from tests.support.process import Process

NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
REPORTED = b"Successfully sent block report"
STARTING = b"STARTUP_MSG: Starting NameNode"
WRITABLE = b"Safe mode is OFF"
USER = "bmase"
BLOCK_BYTES = 1024 * 1024  # the least that a NameNode takes without another setting
# Hadoop of 2017 on Java 17; small heaps and one compiler, for processes that live for seconds.
JAVA = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.net.preferIPv4Stack=true",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
)
LOGGING = """log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n
"""


class Hdfs:
    """A file system at `url`; `replication` DataNodes hold a copy of each block."""

    def __init__(self, folder: Path, datanodes: int = 1) -> None:
        ensure(["java", "hdfs"])
        self.port, *ports = free_ports(1 + 3 * datanodes)
        self.url = f"hdfs://127.0.0.1:{self.port}"
        self._datanodes = datanodes
        self._folder = folder
        self._webapps()
        names = {"dfs.namenode.name.dir": folder / "names", "dfs.namenode.safemode.min.datanodes": datanodes}
        self.namenode = self._node("namenode", NAMENODE, names)
        self.datanodes = [
            self._node(f"datanode-{n}", DATANODE, _of_datanode(folder / f"blocks-{n}", ports[3 * n : 3 * n + 3]))
            for n in range(datanodes)
        ]

    def start(self) -> Hdfs:
        """Starts what does not run, with the files it had; the first time makes an empty file system."""
        if not (self._folder / "names").exists():
            self._format()
        stopped = [process for process in (self.namenode, *self.datanodes) if not process.alive]
        said = {process: _length(process) for process in stopped}
        for process in stopped:
            process.start()
        self.namenode.wait_port(self.port, timeout=60)
        self.namenode.wait_until(self._writable, "end of safe mode", timeout=60)
        for process in stopped:
            if process is not self.namenode:
                # Before it has told the NameNode of its blocks, it neither takes nor gives any.
                process.wait_until(lambda p=process: REPORTED in _log(p, said[p]), "report of its blocks", timeout=60)
        return self

    def _writable(self) -> bool:
        """Whether it takes files; the NameNode may have been started by others, after all DataNodes."""
        return WRITABLE in _log(self.namenode, 0).rpartition(STARTING)[2]

    def put(self, path: str, content: bytes) -> str:
        """Writes a file anew; returns its URI."""
        from hdfs_native import Client, WriteOptions  # noqa: PLC0415 - a driver that only tests of HDFS need

        client = Client(self.url)
        with client.create(path, WriteOptions(overwrite=True, replication=self._datanodes)) as file:
            file.write(content)
        return f"{self.url}{path}"

    def stop(self) -> None:
        """Ends it; its data stay."""
        for process in (*self.datanodes, self.namenode):
            process.stop(timeout=5)

    def _format(self) -> None:
        done = subprocess.run(
            [*self.namenode.command, "-format", "-nonInteractive"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"the NameNode's format failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"

    def _webapps(self) -> None:
        """Their pages, which the servers want to find and which the jars do not have."""
        for name in ("hdfs", "datanode"):
            page = self._folder / "pages/webapps" / name / "WEB-INF/web.xml"
            page.parent.mkdir(parents=True)
            page.write_text("<web-app/>\n", encoding="utf-8")

    def _node(self, name: str, program: str, settings: Mapping[str, object]) -> Process:
        conf = self._folder / name
        conf.mkdir()
        _write(conf / "core-site.xml", {"fs.defaultFS": self.url, "hadoop.tmp.dir": self._folder / "tmp"})
        _write(conf / "hdfs-site.xml", {**_COMMON, "dfs.replication": self._datanodes, **settings})
        (conf / "log4j.properties").write_text(LOGGING, encoding="utf-8")
        classes = ":".join((str(conf), str(self._folder / "pages"), f"{hdfs_jars()}/*"))
        (conf / "scratch").mkdir()
        command = [binary("java"), *JAVA, f"-Djava.io.tmpdir={conf / 'scratch'}", "-cp", classes, program]
        return Process(command, self._folder / f"{name}.log", name=name, env={"HADOOP_USER_NAME": USER})

    def __enter__(self) -> Hdfs:
        return self.start()

    def __exit__(self, *_: object) -> None:
        for process in (*self.datanodes, self.namenode):
            process.kill()


_COMMON: Mapping[str, object] = {
    "dfs.namenode.http-address": "127.0.0.1:0",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.namenode.safemode.extension": 0,
    "dfs.permissions.enabled": "false",
    "dfs.webhdfs.enabled": "false",  # needs a web framework that the jars do not have
    "dfs.blocksize": BLOCK_BYTES,
    "dfs.heartbeat.interval": 1,
}


def _of_datanode(blocks: Path, ports: list[int]) -> dict[str, object]:
    names = ("dfs.datanode.address", "dfs.datanode.http.address", "dfs.datanode.ipc.address")
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
    return {"dfs.datanode.data.dir": blocks, "dfs.datanode.hostname": "localhost", **addresses}


def _write(path: Path, settings: Mapping[str, object]) -> None:
    root = ElementTree.Element("configuration")
    for name, value in settings.items():
        one = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(one, "name").text = name
        ElementTree.SubElement(one, "value").text = str(value)
    ElementTree.ElementTree(root).write(path, encoding="unicode")


def _length(process: Process) -> int:
    return process.log.stat().st_size if process.log.exists() else 0


def _log(process: Process, start: int) -> bytes:
    with process.log.open("rb") as log:
        log.seek(start)
        return log.read()
