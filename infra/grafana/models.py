"""Dashboards of what clients and owners of models look at: traffic, models, releases, drift."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from infra.grafana.panels import choice, lines, number, page, states

MODEL = choice("model", 'envoy_bmase_requests{via!=""}')
OF = 'model=~"$model"'


def traffic() -> dashboard.Dashboard:
    """What clients see, by model."""
    requests = f'rate(envoy_bmase_requests{{via!="",{OF}}}[1m])'
    return page(
        "traffic",
        "Traffic",
        number("Requests", "reqps", (f"sum({requests})", "")),
        number("Failures of the worst model", "percentunit", (f"max(model:bmase_failures:ratio_rate5m{{{OF}}})", "")),
        number(
            "Slow ones of the worst model",
            "percentunit",
            (f"max(model:bmase_slow:ratio_rate5m{{{OF}}})", ""),
            about="Over 500 ms.",
        ),
        number("p99 of the slowest", "ms", (f"max(model_version:bmase_duration_ms:p99_5m{{{OF}}})", "")),
        number("Models with traffic", "short", (f"count(sum by (model) ({requests}) > 0)", "")),
        number("Alerts firing", "short", ('count(ALERTS{alertstate="firing"}) or vector(0)', "")),
        lines("Requests by model", "reqps", (f"sum by (model) ({requests})", "{{model}}"), stacked=True),
        lines(
            "Requests by status", "reqps", (f"sum by (code, status) ({requests})", "{{code}} {{status}}"), stacked=True
        ),
        lines("Failures", "percentunit", (f"model:bmase_failures:ratio_rate5m{{{OF}}}", "{{model}}")),
        lines(
            "How the version was chosen",
            "reqps",
            (f"sum by (via) ({requests})", "{{via}}"),
            about="By the route's weights, by the request naming a version, or by an override of the route.",
        ),
        lines(
            "Budget of errors eaten",
            "short",
            (f"model:bmase_failures:ratio_rate1h{{{OF}}} / 0.001", "{{model}} 1 h"),
            (f"model:bmase_failures:ratio_rate6h{{{OF}}} / 0.001", "{{model}} 6 h"),
            about="Burn rate of 99.9 %: 1 eats all of it in 30 days. 14.4 over an hour pages.",
        ),
        lines(
            "Budget of slowness eaten",
            "short",
            (f"model:bmase_slow:ratio_rate1h{{{OF}}} / 0.01", "{{model}} 1 h"),
            (f"model:bmase_slow:ratio_rate6h{{{OF}}} / 0.01", "{{model}} 6 h"),
            about="Burn rate of 99 % within 500 ms.",
        ),
        variables=(MODEL,),
    )


def models() -> dashboard.Dashboard:
    """Versions beside each other."""
    return page(
        "models",
        "Models",
        lines("Requests", "reqps", (f"model_version:bmase_requests:rate5m{{{OF}}}", "{{model}} {{version}}")),
        lines(
            "Failures",
            "percentunit",
            (
                f"model_version:bmase_failures:rate5m{{{OF}}} / (model_version:bmase_requests:rate5m{{{OF}}} > 0)",
                "{{model}} {{version}}",
            ),
        ),
        lines(
            "Duration at the gateway",
            "ms",
            (f"model_version:bmase_duration_ms:p50_5m{{{OF}}}", "{{model}} {{version}} p50"),
            (f"model_version:bmase_duration_ms:p95_5m{{{OF}}}", "{{model}} {{version}} p95"),
            (f"model_version:bmase_duration_ms:p99_5m{{{OF}}}", "{{model}} {{version}} p99"),
        ),
        lines(
            "Time in Triton",
            "µs",
            *(
                (
                    f"sum by (model, version) (rate(nv_inference_{part}_duration_us{{{OF}}}[1m])) / "
                    f"(sum by (model, version) (rate(nv_inference_request_success{{{OF}}}[1m])) > 0)",
                    "{{model}} {{version}} " + words,
                )
                for part, words in (("queue", "waits"), ("compute_infer", "computes"))
            ),
            about="A request, on average.",
        ),
        lines("Models on nodes", "short", ("sum by (state) (bmase_patcher_placements)", "{{state}}"), stacked=True),
        lines(
            "Models of each node",
            "short",
            ("sum by (node, state) (bmase_agent_models)", "{{node}} {{state}}"),
        ),
        variables=(MODEL,),
    )


def releases() -> dashboard.Dashboard:
    """What is being released, and what is known of it."""
    decisions = "sum by (model, kind, reason) (increase(bmase_patcher_release_decisions_total[5m]))"
    return page(
        "releases",
        "Releases",
        lines("In hand, by state", "short", ("sum by (state) (bmase_patcher_releases)", "{{state}}"), stacked=True),
        lines("Decisions in 5 min", "short", (decisions, "{{model}}: {{kind}} {{reason}}")),
        states(
            "Verdict",
            (f"bmase_comparison_verdict{{{OF}}}", "{{model}}"),
            about="-1 roll back, 0 hold, 1 promote.",
        ),
        lines(
            "Candidate's share",
            "percentunit",
            (f"bmase_comparison_share{{{OF}}}", "{{model}} {{what}}"),
            about="Declared by the route, and realised.",
        ),
        lines(
            "Evidence against the candidate",
            "percentunit",
            (
                f"bmase_comparison_evidence{{{OF}}} / on (model, kind) bmase_comparison_limit{{{OF}}}",
                "{{model}} {{kind}}",
            ),
            about="As a part of the evidence that rolls back.",
        ),
        lines("Requests judged", "short", (f"bmase_comparison_requests{{{OF}}}", "{{model}} {{side}}")),
        lines("Bad ones of them", "short", (f"bmase_comparison_bad{{{OF}}}", "{{model}} {{side}} {{kind}}")),
        lines("Kept out of the evidence", "short", (f"bmase_comparison_set_apart{{{OF}}}", "{{model}} {{what}}")),
        lines(
            "Age of the evidence",
            "s",
            (f"time() - bmase_comparison_evidence_timestamp_seconds{{{OF}}}", "{{model}}"),
            about="Older than 5 s holds.",
        ),
        lines(
            "Rollbacks",
            "s",
            (
                "histogram_quantile(0.95, "
                "sum by (until, le) (rate(bmase_patcher_release_rollback_seconds_bucket[1h])))",
                "until {{until}}, p95",
            ),
            about="From the decision until the weights were written, and until every gateway had applied them.",
        ),
        variables=(choice("model", "bmase_comparison_verdict"),),
    )


def drift() -> dashboard.Dashboard:
    """What samples and outcomes show."""
    wrong = f'sum by (model, version) (rate(bmase_monitor_outcomes_total{{{OF},wrong="true"}}[5m]))'
    told = f"sum by (model, version) (rate(bmase_monitor_outcomes_total{{{OF}}}[5m]))"
    return page(
        "drift",
        "Drift and quality",
        number("Alerts not resolved", "short", ("sum(bmase_monitor_alerts_unresolved)", ""), span=6),
        number(
            "Store of samples", "short", ("min(bmase_monitor_samples_store_up)", ""), about="1: it answers.", span=6
        ),
        number("Samples kept", "bytes", ("sum(bmase_monitor_samples_stored_bytes)", ""), span=6),
        number("Outcomes without a request", "short", ("sum(bmase_monitor_outcomes_waiting)", ""), span=6),
        lines(
            "Alerts",
            "short",
            (
                f"sum by (model, version, kind, state) (bmase_monitor_alerts{{{OF}}})",
                "{{model}} {{version}}: {{kind}} {{state}}",
            ),
        ),
        lines(
            "Wrong answers", "percentunit", (f"{wrong} / ({told} > 0)", "{{model}} {{version}}"), about="As reported."
        ),
        lines(
            "Samples",
            "reqps",
            (f"sum by (model, what) (rate(bmase_monitor_samples_total{{{OF}}}[1m]))", "{{model}} {{what}}"),
        ),
        lines(
            "Waiting",
            "short",
            ("sum(bmase_monitor_pairs_queued)", "to be decoded"),
            ("sum(bmase_monitor_samples_queued)", "to be stored"),
        ),
        variables=(MODEL,),
    )
