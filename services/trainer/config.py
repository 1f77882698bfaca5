"""Settings of the trainer, from `BMASE_TRAINER_*` or the table `[trainer]`."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from services.kit.config import ServiceSettings
from services.trainer.jobs.capacity import Amount
from services.trainer.jobs.quotas import Limit, Quotas

SHARE_OF_MEMORY = 0.8  # the rest is for everything else on the machine


class QuotaSettings(BaseModel):
    """How much may be held at once; what is not set is not limited."""

    model_config = ConfigDict(extra="forbid")

    cpus: float | None = Field(default=None, ge=0)
    memory_bytes: int | None = Field(default=None, ge=0)
    gpus: int | None = Field(default=None, ge=0)
    jobs: int | None = Field(default=None, ge=0)

    @property
    def limit(self) -> Limit:
        millicpus = None if self.cpus is None else round(self.cpus * 1000)
        return Limit(millicpus, self.memory_bytes, self.gpus, self.jobs)


class TrainerSettings(ServiceSettings):
    """Where jobs run, what they may hold, and where what they make is kept."""

    model_config = SettingsConfigDict(
        env_prefix="BMASE_TRAINER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    database_url: str = Field(
        default="", description="default SQLite in `data_dir`; `mysql+asyncmy://user:password@host/database`"
    )
    blob_url: str = Field(
        default="",
        description="checkpoints and products: default `data_dir`/blobs; `s3://bucket/prefix?endpoint=..&region=..`",
    )
    ray_address: str = Field(
        default="",
        pattern=r"^$|^(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}$",
        description="host:port of a Ray cluster; empty: a Ray of its own on this machine, on loopback",
    )
    cpus: float = Field(default=0.0, ge=0, description="of this machine that jobs may hold; 0: all")
    memory_bytes: int = Field(default=0, ge=0, description="of this machine that jobs may hold; 0: four fifths")
    checkpoint_seconds: float = Field(
        default=30.0, ge=0.1, le=86400, description="what a job loses at most by a death, at its usual speed"
    )
    journal_days: float = Field(
        default=90.0,
        ge=0,
        le=36500,
        description="how long what a job printed and reported can be read once it has ended; 0: for ever. "
        "Its states and its series stay",
    )
    data_poll_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=86400,
        description="between two looks at the data of schedules that wait for new data",
    )
    quota: QuotaSettings = Field(default_factory=QuotaSettings, description="of each owner that has no own one")
    owner_quotas: dict[str, QuotaSettings] = Field(default_factory=dict, description="owner -> quota")
    label_quotas: dict[str, QuotaSettings] = Field(default_factory=dict, description="`key=value` -> quota")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'trainer.db').absolute()}"

    @property
    def blobs(self) -> str:
        return self.blob_url or (self.data_dir / "blobs").absolute().as_uri()

    @property
    def attempts(self) -> Path:
        """Folders of attempts, on this machine."""
        return self.data_dir.absolute() / "attempts"

    @property
    def machine(self) -> Amount:
        """What jobs may hold of this machine."""
        cpus = self.cpus or len(os.sched_getaffinity(0))
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Amount(round(cpus * 1000), self.memory_bytes or int(total * SHARE_OF_MEMORY))

    @property
    def quotas(self) -> Quotas:
        owners = {owner: each.limit for owner, each in self.owner_quotas.items()}
        labels = {label: each.limit for label, each in self.label_quotas.items()}
        return Quotas(self.quota.limit, owners, labels)
