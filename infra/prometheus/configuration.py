"""The configurations of Prometheus and Alertmanager. Pure; JSON, which both read as the YAML they ask for.

Everything that is scraped is found in Consul, where each process says where its metrics are (`metrics`, and
`statistics` or `agent_metrics` for what stands beside it), so nothing has to be listed when nodes or gateways come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

RULES = Path(__file__).with_name("rules")
SERVICES = ("registry", "patcher", "monitor", "gateway")
GATEWAY, NODE = "gateway", "bmase-node"
_META = "__meta_consul_service_metadata_"
# An Envoy has hundreds of series beside these.
_OF_ENVOY = (
    "envoy_bmase_.+|envoy_server_(live|uptime|memory_.+|concurrency)|envoy_http_downstream_(cx|rq)_active|"
    "envoy_cluster_(membership_.+|upstream_cx_active|upstream_rq_(total|retry|timeout|pending_overflow))|"
    "envoy_(http_rds|cluster_manager_cds|listener_manager_lds|runtime)_update_(rejected|success)|"
    "envoy_access_logs_open_telemetry_access_log_.+_logs_(written|dropped)|envoy_access_log_process_ratelimit_denied"
)


def prometheus(consul: str, alertmanagers: Sequence[str], itself: str, rules: Path = RULES, seconds: int = 15) -> str:
    """`consul`, `alertmanagers` and `itself` are host:port; `rules` is the folder of the rule files."""
    jobs = [
        _found(consul, "services", SERVICES, "metrics"),
        _found(consul, "envoy", (GATEWAY,), "statistics")
        | {"metrics_path": "/stats/prometheus", "metric_relabel_configs": [_keep("__name__", _OF_ENVOY)]},
        _found(consul, "triton", (NODE,), "metrics"),
        _found(consul, "agents", (NODE,), "agent_metrics"),
        _listed("prometheus", [itself]),
        _listed("alertmanager", alertmanagers),
    ]
    every = f"{seconds}s"
    return json.dumps(
        {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(rules / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
            "scrape_configs": jobs,
        },
        indent=2,
    )


def _found(consul: str, job: str, services: Sequence[str], meta: str) -> Json:
    """Instances of these services in Consul, at the address that their entry has under `meta`."""
    return {
        "job_name": job,
        "consul_sd_configs": [{"server": consul, "services": list(services), "refresh_interval": "10s"}],
        "relabel_configs": [
            _keep(_META + meta, ".+"),
            _copy(_META + meta, "__address__"),
            _copy("__meta_consul_service_id", "instance"),
            _copy("__meta_consul_service", "service"),
            _copy(_META + "node", "node"),
            _copy(_META + "pool", "pool"),
        ],
    }


def _keep(label: str, pattern: str) -> Json:
    return {"source_labels": [label], "regex": pattern, "action": "keep"}


def _copy(label: str, to: str) -> Json:
    return {"source_labels": [label], "regex": "(.+)", "target_label": to, "replacement": "$1"}


def _listed(job: str, targets: Sequence[str]) -> Json:
    return {"job_name": job, "static_configs": [{"targets": list(targets)}]}


def alertmanager(webhook: str = "") -> str:
    """All alerts to one receiver; without a webhook they are only shown. What pages comes at once and again sooner."""
    receiver: Json = {"name": "bmase"}
    if webhook:
        receiver["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
    page = {"matchers": ['severity="page"'], "receiver": "bmase", "group_wait": "0s", "repeat_interval": "1h"}
    # A cause silences its consequences.
    inhibit = {"source_matchers": ['alertname="EnvoyDown"'], "target_matchers": ['alertname="GatewaySilent"']}
    return json.dumps(
        {
            "route": {
                "receiver": "bmase",
                "group_by": ["alertname", "model"],
                "group_wait": "10s",
                "group_interval": "1m",
                "repeat_interval": "12h",
                "routes": [page],
            },
            "inhibit_rules": [inhibit],
            "receivers": [receiver],
        },
        indent=2,
    )
