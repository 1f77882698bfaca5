"""Dashboards of what operators look at: Triton, gateways, services."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from infra.grafana.panels import Query, choice, lines, number, page, states

_LOG = "envoy_access_logs_open_telemetry_access_log"


def triton() -> dashboard.Dashboard:
    """The nodes."""
    of = 'node=~"$node",model!~"_.*"'

    def rate(series: str) -> str:
        return f"sum by (node, model) (rate({series}{{{of}}}[1m]))"

    def time_of(part: str, words: str) -> Query:
        return f"{rate(f'nv_inference_{part}_duration_us')} / ({rate('nv_inference_request_success')} > 0)", words

    name = "{{node}} {{model}}"
    return page(
        "triton",
        "Triton",
        states("Serves", ('bmase_agent_triton_usable{node=~"$node"}', "{{node}}"), about="1: it computes right."),
        lines("Starts", "short", ('bmase_agent_triton_lives{node=~"$node"}', "{{node}}"), about="Seen by the agent."),
        lines("Inferences", "reqps", (rate("nv_inference_count"), name)),
        lines(
            "Batch size",
            "short",
            (f"{rate('nv_inference_count')} / ({rate('nv_inference_exec_count')} > 0)", name),
            about="Inferences an execution.",
        ),
        lines(
            "Time of a request",
            "µs",
            time_of("queue", name + " waits"),
            time_of("compute_input", name + " input"),
            time_of("compute_infer", name + " computes"),
            time_of("compute_output", name + " output"),
        ),
        lines("Waiting requests", "short", (f"nv_inference_pending_request_count{{{of}}}", name)),
        lines(
            "Failures",
            "reqps",
            (f"sum by (node, model, reason) (rate(nv_inference_request_failure{{{of}}}[1m]))", name + " {{reason}}"),
        ),
        lines("CPU", "percentunit", ('nv_cpu_utilization{node=~"$node"}', "{{node}}"), about="Of the machine."),
        lines(
            "Memory of the machine",
            "bytes",
            ('nv_cpu_memory_used_bytes{node=~"$node"}', "{{node}} used"),
            ('nv_cpu_memory_total_bytes{node=~"$node"}', "{{node}} of"),
        ),
        variables=(choice("node", "bmase_agent_triton_up"),),
    )


def gateway() -> dashboard.Dashboard:
    """The Envoys."""
    of = 'instance=~"$instance"'
    nodes = f'{of},envoy_cluster_name=~"nodes_.*"'
    cluster = "{{instance}} {{envoy_cluster_name}}"

    def clusters(title: str, series: str, about: str = "") -> tuple[str, str, Query, str]:
        return title, "reqps", (f"rate({series}{{{nodes}}}[1m])", cluster), about

    more = [
        lines(title, unit, query, about=about)
        for title, unit, query, about in (
            clusters("Requests to nodes", "envoy_cluster_upstream_rq_total"),
            clusters("Retries", "envoy_cluster_upstream_rq_retry"),
            clusters("Timeouts", "envoy_cluster_upstream_rq_timeout"),
            clusters("Refused for want of room", "envoy_cluster_upstream_rq_pending_overflow"),
        )
    ]
    return page(
        "gateway",
        "Gateway",
        states("Answers", (f'up{{job="envoy",{of}}}', "{{instance}}")),
        lines("Age", "s", (f"envoy_server_uptime{{{of}}}", "{{instance}}"), about="A fall is a restart."),
        lines(
            "Requests under way",
            "short",
            (f'envoy_http_downstream_rq_active{{{of},envoy_http_conn_manager_prefix="gateway"}}', "{{instance}}"),
        ),
        lines(
            "Connections",
            "short",
            (f'envoy_http_downstream_cx_active{{{of},envoy_http_conn_manager_prefix="gateway"}}', "{{instance}}"),
        ),
        lines("Memory", "bytes", (f"envoy_server_memory_allocated{{{of}}}", "{{instance}}")),
        lines(
            "Healthy endpoints",
            "short",
            (f"envoy_cluster_membership_healthy{{{nodes}}}", cluster),
            (f"envoy_cluster_membership_total{{{nodes}}}", cluster + " of"),
        ),
        *more,
        lines(
            "Refused configurations",
            "short",
            *(
                (f"increase(envoy_{part}_update_rejected{{{of}}}[5m])", "{{instance}} " + words)
                for part, words in (
                    ("http_rds", "routes"),
                    ("cluster_manager_cds", "clusters"),
                    ("listener_manager_lds", "listeners"),
                )
            ),
        ),
        lines(
            "Shown to the monitor",
            "short",
            *(
                (f"rate({metric}{{{of}}}[1m])", "{{instance}} " + words)
                for metric, words in (
                    (f"{_LOG}_pairs_logs_written", "pairs a second"),
                    (f"{_LOG}_pairs_logs_dropped", "pairs dropped"),
                    (f"{_LOG}_bad_requests_logs_written", "bad requests a second"),
                    (f"{_LOG}_bad_requests_logs_dropped", "bad requests dropped"),
                    ("envoy_access_log_process_ratelimit_denied", "bad requests over the limit"),
                )
            ),
        ),
        variables=(choice("instance", "envoy_server_live"),),
    )


def services() -> dashboard.Dashboard:
    """Registry, patcher, monitor, gateway control, agents."""
    of = 'job=~"services|agents",instance=~"$instance"'
    calls = f"rate(bmase_grpc_requests_total{{{of}}}[1m])"
    return page(
        "services",
        "Services",
        states("Answers", (f"up{{{of}}}", "{{instance}}")),
        states("Leads", ("bmase_patcher_leading", "{{instance}}"), ("bmase_monitor_leading", "{{instance}}")),
        lines("Calls", "reqps", (f"sum by (service, grpc_method) ({calls})", "{{service}} {{grpc_method}}")),
        lines(
            "Calls by code",
            "reqps",
            (f"sum by (service, grpc_code) ({calls})", "{{service}} {{grpc_code}}"),
            about="INTERNAL and DATA_LOSS are faults of the service; others are what callers are told.",
        ),
        lines(
            "Duration, p99",
            "s",
            (
                "histogram_quantile(0.99, sum by (service, grpc_method, le) "
                f"(rate(bmase_grpc_request_seconds_bucket{{{of}}}[5m])))",
                "{{service}} {{grpc_method}}",
            ),
        ),
        lines("Calls under way", "short", (f"sum by (instance) (bmase_grpc_in_flight{{{of}}})", "{{instance}}")),
        lines(
            "CPU", "percentunit", (f"rate(process_cpu_seconds_total{{{of}}}[1m])", "{{instance}}"), about="Of a core."
        ),
        lines("Memory", "bytes", (f"process_resident_memory_bytes{{{of}}}", "{{instance}}")),
        lines("Open files", "short", (f"process_open_fds{{{of}}}", "{{instance}}")),
        lines("Nodes", "short", ("max by (state) (bmase_patcher_nodes)", "{{state}}"), stacked=True),
        lines(
            "Artefacts received",
            "Bps",
            ("sum by (instance) (rate(bmase_registry_received_bytes_total[1m]))", "{{instance}}"),
        ),
        lines("Uploads under way", "short", ("bmase_registry_uploads", "{{instance}}")),
        lines(
            "How long the monitor looks",
            "s",
            ("bmase_monitor_scrape_seconds", "at gateways"),
            ("bmase_monitor_save_seconds", "to keep the evidence"),
        ),
        number("Gateways that are silent", "short", ("sum(bmase_monitor_gateways_silent)", "")),
        number("Gateways that began anew", "short", ("sum(bmase_monitor_counter_resets_total)", "")),
        number("Bad requests told", "short", ("sum by (what) (bmase_monitor_bad_events_total)", "{{what}}")),
        number("Failures of discovery", "short", ("prometheus_sd_consul_rpc_failures_total", ""), about="By Consul."),
        variables=(choice("instance", 'up{job=~"services|agents"}'),),
    )
