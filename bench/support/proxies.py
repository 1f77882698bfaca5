"""The other ways to put a hop before a Triton: a plain Envoy, a plain nginx, a Python program."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path

from infra.runtime import binary, ensure
from infra.runtime.layout import CHECKOUT
from tests.support.ports import free_port
from tests.support.process import Process

_ENVOY = "type.googleapis.com/envoy.extensions."


class Proxy:
    """One hop; `address` answers once it was started."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._port = port
        self.address = f"127.0.0.1:{port}"

    def start(self) -> Proxy:
        self._process.start().wait_port(self._port)
        return self

    def stop(self) -> None:
        self._process.stop(timeout=5)


def plain_envoy(folder: Path, target: int, workers: int) -> Proxy:
    """Nothing but a listener, one route for everything and one cluster; all else as Envoy has it by default."""
    ensure(["envoy"])
    port = free_port()
    config = folder / "plain-envoy.json"
    config.write_text(json.dumps(_envoy_config(port, target)), "utf-8")
    command = [str(binary("envoy")), "-c", str(config), "--concurrency", str(workers), "--disable-hot-restart"]
    return Proxy(Process([*command, "--log-level", "warning"], folder / "plain-envoy.log", name="plain envoy"), port)


def _envoy_config(port: int, target: int) -> dict[str, object]:
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "triton"}}
    manager = {
        "@type": f"{_ENVOY}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_ENVOY}filters.http.router.v3.Router"}}],
    }
    upstream = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"@type": f"type.googleapis.com/{upstream}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "plain",
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "triton",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "triton",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(target)}}]}],
                    },
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


_NGINX = """
daemon off;
worker_processes {workers};
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream triton {{
    server 127.0.0.1:{target};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} http2;
    keepalive_requests 1000000000;
    location / {{ grpc_pass grpc://triton; }}
  }}
}}
"""


def plain_nginx(folder: Path, target: int, workers: int) -> Proxy:
    """grpc_pass with kept connections; without the limit of requests a connection, which h2load takes for failures."""
    ensure(["nginx"])
    port = free_port()
    config = folder / "nginx.conf"
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""  # else workers may not enter a private folder
    config.write_text(_NGINX.format(workers=workers, user=user, folder=folder, target=target, port=port), "utf-8")
    command = [str(binary("nginx")), "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx-error.log")]
    return Proxy(Process(command, folder / "nginx.log", name="nginx"), port)


def python_proxy(folder: Path, target: int) -> Proxy:
    """One process that passes bytes."""
    port = free_port()
    command = [sys.executable, "-m", "bench.support.byte_proxy", str(port), f"127.0.0.1:{target}"]
    return Proxy(Process(command, folder / "byte-proxy.log", name="python proxy", cwd=CHECKOUT), port)
