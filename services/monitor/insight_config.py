"""The settings of samples, outcomes, drift and alerts; `MonitorSettings` begins with them."""

from __future__ import annotations

from pydantic import Field, field_validator

from services.kit.config import ServiceSettings
from services.monitor.drift.settings import DriftSettings
from services.monitor.samples.store import SCHEMES

MEBIBYTE = 1024 * 1024


class InsightSettings(ServiceSettings):
    """What is kept, and what counts as drift."""

    samples_url: str = Field(
        default="memory:",
        description="where samples are kept: `mongodb://host:port/database`; `memory:` is lost with the process",
    )
    samples_memory_bytes: int = Field(
        default=256 * MEBIBYTE, ge=MEBIBYTE, description="of all samples with `memory:`; the largest model gives first"
    )
    samples_seconds: float = Field(
        default=86_400,
        ge=1,
        le=31_622_400,
        description="how long samples are kept, where a model's capture says nothing",
    )
    samples_bytes: int = Field(
        default=64 * MEBIBYTE, ge=MEBIBYTE, description="of a model's samples, where its capture says nothing"
    )
    capture_percent: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="of requests are sampled, where a model's capture says nothing; as gateways",
    )
    drift_alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="chance of any false alarm of a version, however often one looks"
    )
    drift_effect: float = Field(
        default=0.1, gt=0, lt=1, description="smaller Kolmogorov-Smirnov distances are no alarm, however sure they are"
    )
    alert_webhook: str = Field(default="", description="URL that is told of every alert by POST; empty: none")

    @field_validator("samples_url")
    @classmethod
    def _known_store(cls, value: str) -> str:
        if value.partition(":")[0] not in SCHEMES:
            raise ValueError(f"must begin with one of {', '.join(f'{scheme}:' for scheme in SCHEMES)}")
        return value

    def drift(self) -> DriftSettings:
        """What the search for drift is told."""
        return DriftSettings(alpha=self.drift_alpha, minimum_effect=self.drift_effect)
