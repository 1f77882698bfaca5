"""What the suite consists of: a pure list of programs, made from the place, the ports and the nodes."""

from __future__ import annotations

import json
import os
import sys

from infra.local import observability
from infra.local.place import MARKER, Identity, Place
from infra.local.ports import HOST
from infra.local.suite import Program, Suite
from infra.runtime import binary

# What of the pinned binaries the programs below are.
RUNTIME = ("triton", "envoy", "consul", "secantusdb")
DRAIN_SECONDS = 5


def runtime(place: Place, observed: bool | None) -> tuple[str, ...]:
    """What has to be fetched for the suite of this place, with what is asked for now."""
    known = Identity.read(place)
    asked = bool(known and known.observed) if observed is None else observed
    return (*RUNTIME, *observability.RUNTIME) if asked else RUNTIME


def programs(suite: Suite) -> list[Program]:
    """All programs, in the order in which status shows them."""
    listed = [_consul(suite), _documents(suite)]
    listed += [_registry(suite), _patcher(suite), _monitor(suite), _control(suite), _envoy(suite)]
    listed += [_trainer(suite)] if suite.trains else []
    for node in suite.nodes:
        listed += [_triton(suite, node), _agent(suite, node)]
    return listed + observability.programs(suite)


def common_environment(suite: Suite) -> dict[str, str]:
    """What every process of the suite gets; the mark by which it is recognised is part of it."""
    environment = {MARKER: suite.identity.id, "BMASE_CONSUL_URL": suite.consul_url, "PYTHONUNBUFFERED": "1"}
    # Seven Python programs start at once: without compiled modules on disk each would compile all of them, each time.
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    if suite.place.settings.exists():
        environment["BMASE_CONFIG"] = str(suite.place.settings)
    return environment


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _service(suite: Suite, program: str, port: str, **own: object) -> dict[str, str]:
    """The settings that every service takes, under its own prefix, and its own ones."""
    prefix = f"BMASE_{program.upper()}_"
    settings: dict[str, object] = {
        "listen": suite.address(port),
        "metrics_listen": suite.address(f"{port}_metrics"),
        "data_dir": suite.place.data(program),
        "instance": program,
        "drain_seconds": DRAIN_SECONDS,
        **own,
    }
    return {prefix + name.upper(): str(value) for name, value in settings.items()}


def consul_configuration(suite: Suite) -> str:
    """A single server that only this machine can reach, quick to elect itself, without the parts nobody uses here."""
    ports = {
        "http": suite.ports["consul"],
        "server": suite.ports["consul_server"],
        "serf_lan": suite.ports["consul_serf"],
    }
    return json.dumps(
        {
            "server": True,
            "bootstrap_expect": 1,
            "node_name": "local",
            "datacenter": "local",
            "data_dir": str(suite.place.data("consul")),
            "bind_addr": HOST,
            "client_addr": HOST,
            "ports": {**ports, "serf_wan": -1, "dns": -1, "grpc": -1},
            "performance": {"raft_multiplier": 1},
            # Every watch is one open request, and all of them come from this address.
            "limits": {"http_max_conns_per_client": 4096},
            "disable_update_check": True,
            # At INFO it writes four lines for every health check that it makes, which is some twenty a second.
            "log_level": "WARN",
            "leave_on_terminate": False,
        },
        indent=2,
    )


def _consul(suite: Suite) -> Program:
    configuration = suite.place.run / "consul.json"
    return Program("consul", (str(binary("consul")), "agent", f"-config-file={configuration}"), stage=1)


def _registry(suite: Suite) -> Program:
    return Program("registry", _python("services.registry"), 3, _service(suite, "registry", "registry"))


def _patcher(suite: Suite) -> Program:
    return Program("patcher", _python("services.patcher"), 3, _service(suite, "patcher", "patcher"))


def _documents(suite: Suite) -> Program:
    """The document store of sampled requests, a MongoDB-protocol server; in a cluster, a URL."""
    folder = suite.place.data("documents")
    host, port = suite.address("documents").split(":")
    command = [str(binary("secantusdb")), "--host", host, "--port", port, "--storage-path", str(folder)]
    return Program("documents", (*command, "--standalone", "--cache-size", "64M", "--log-level", "WARNING"), 2)


def _monitor(suite: Suite) -> Program:
    samples = f"mongodb://{suite.address('documents')}/bmase"
    return Program(
        "monitor", _python("services.monitor"), 3, _service(suite, "monitor", "monitor", samples_url=samples)
    )


def _trainer(suite: Suite) -> Program:
    return Program("trainer", _python("services.trainer"), 3, _service(suite, "trainer", "trainer"))


def _control(suite: Suite) -> Program:
    return Program("gateway", _python("services.gateway"), 4, _gateway_settings(suite))


def _envoy(suite: Suite) -> Program:
    return Program("envoy", _python("services.gateway.envoy.launch"), 4, _gateway_settings(suite))


def _gateway_settings(suite: Suite) -> dict[str, str]:
    """The control and the launcher of Envoy read the same settings: one writes Envoy's files, the other runs them."""
    settings = _service(suite, "gateway", "control")
    settings["BMASE_GATEWAY_ENVOY_LISTEN"] = suite.address("gateway")
    settings["BMASE_GATEWAY_ENVOY_ADMIN"] = suite.address("envoy_admin")
    settings["BMASE_GATEWAY_ENVOY_STATISTICS"] = suite.address("envoy_statistics")
    return settings


def _triton(suite: Suite, node: str) -> Program:
    home = suite.place.data("nodes") / node  # the agent's folder: it lays models out there and says which to start with
    command = _python(
        "infra.triton.launch",
        f"--repository={home / 'repository'}",
        f"--models-file={home / 'models.json'}",
        f"--http-port={suite.ports[f'{node}_http']}",
        f"--grpc-port={suite.ports[f'{node}_grpc']}",
        f"--metrics-port={suite.ports[f'{node}_metrics']}",
    )
    return Program(f"triton-{node}", command, 2)


def node_memory(nodes: int) -> int:
    """The nodes share one machine: each may promise its part of four fifths of the memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total * 8 // 10 // nodes


def _agent(suite: Suite, node: str) -> Program:
    settings = {
        "listen": suite.address(f"{node}_agent"),
        "metrics_listen": suite.address(f"{node}_agent_metrics"),
        "data_dir": suite.place.data("nodes") / node,
        "instance": f"agent-{node}",
        "node": node,
        "triton_grpc": suite.address(f"{node}_grpc"),
        "triton_http": suite.address(f"{node}_http"),
        "triton_metrics": suite.address(f"{node}_metrics"),
        "memory_capacity_bytes": node_memory(len(suite.nodes)),
    }
    environment = {f"BMASE_AGENT_{name.upper()}": str(value) for name, value in settings.items()}
    return Program(f"agent-{node}", _python("services.patcher.agent"), 3, environment)
