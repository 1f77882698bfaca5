"""All tables of the trainer's database, as its migrations make them."""

from __future__ import annotations

from services.trainer.jobs.tables import metadata
from services.trainer.pipelines.tables import pipeline_lines, pipelines
from services.trainer.schedules.tables import schedule_fires, schedules

__all__ = ["metadata", "pipeline_lines", "pipelines", "schedule_fires", "schedules"]
