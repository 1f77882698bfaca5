"""Settings of the monitor, from `BMASE_MONITOR_*` or the table `[monitor]`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.monitor import insight_config


class MonitorSettings(insight_config.InsightSettings):
    """How often the gateways are read, and how much is remembered."""

    model_config = SettingsConfigDict(
        env_prefix="BMASE_MONITOR_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    scrape_seconds: float = Field(default=1.0, ge=0.2, le=10, description="between two looks at the gateways' counters")
    scrape_timeout: float = Field(
        default=0.8, gt=0, le=10, description="a gateway that answers later is silent for this look"
    )
    comparisons_kept: int = Field(default=200, ge=1, le=10_000, description="ended comparisons that stay readable")
