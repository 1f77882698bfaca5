"""Grafana's side: dashboards made by code (`python -m infra.grafana generate`), and what provisions them."""

from __future__ import annotations

from pathlib import Path

DASHBOARDS = Path(__file__).with_name("dashboards")
PROVISIONING = Path(__file__).with_name("provisioning")
# What the provisioning files take from Grafana's environment.
SOURCE_VARIABLE, DASHBOARDS_VARIABLE = "BMASE_PROMETHEUS_URL", "BMASE_DASHBOARDS"
SOURCE = "bmase-prometheus"
