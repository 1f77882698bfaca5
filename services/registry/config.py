"""Settings of the registry; see `services.kit.config` for those that all services share and where values come from."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.kit.config import ServiceSettings
from services.registry.garbage import Ages

DAY = 86_400


class RegistrySettings(ServiceSettings):
    """`BMASE_REGISTRY_...`, table `[registry]`."""

    model_config = SettingsConfigDict(env_prefix="BMASE_REGISTRY_")

    database_url: str = Field(
        default="", description="default SQLite in `data_dir`; `mysql+asyncmy://user:password@host/database`"
    )
    blob_url: str = Field(
        default="", description="default files in `data_dir`; `s3://bucket/prefix?endpoint=...&region=...`"
    )
    gc_interval_seconds: float = Field(default=3600, ge=0, description="0: only when asked")
    deleted_seconds: int = Field(default=7 * DAY, ge=60, description="how long what was deleted can be undeleted")
    unused_seconds: int = Field(
        default=DAY, ge=60, description="how long an artefact waits for its first or next version"
    )
    upload_seconds: int = Field(
        default=7 * DAY, ge=60, description="how long an interrupted upload can be gone on with"
    )
    history_seconds: int = Field(
        default=7 * DAY, ge=60, description="how far back a watch can begin, and a request id is known"
    )

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'registry.db').absolute()}"

    @property
    def blobs(self) -> str:
        """The blob store's URL."""
        return self.blob_url or (self.data_dir / "blobs").absolute().as_uri()

    def ages(self) -> Ages:
        """How old things must be to be collected."""
        return Ages(
            deleted=self.deleted_seconds,
            artefact=self.unused_seconds,
            upload=self.upload_seconds,
            answer=self.history_seconds,
            change=self.history_seconds,
        )
