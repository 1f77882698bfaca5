"""Settings of the patcher, from `BMASE_PATCHER_*` or the table `[patcher]`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.kit.config import ServiceSettings
from services.patcher.decide import Rules


class PatcherSettings(ServiceSettings):
    """Where the state is kept, and how patient the patcher is."""

    model_config = SettingsConfigDict(
        env_prefix="BMASE_PATCHER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    database_url: str = Field(
        default="", description="default SQLite in `data_dir`; `mysql+asyncmy://user:password@host/database`"
    )
    undeploy_drain_seconds: float = Field(
        default=2.0, ge=0, le=3600, description="after the last gateway has turned away"
    )
    replace_after_seconds: float = Field(
        default=300.0, ge=10, le=86400, description="silence after which a node is given up"
    )
    forget_gateway_seconds: float = Field(
        default=600.0, ge=10, le=86400, description="silence after which undeploying no longer waits for a gateway"
    )
    settle_seconds: float = Field(
        default=15.0, ge=0, le=600, description="after Consul is back, absent keys say nothing yet"
    )
    take_over: bool = Field(
        default=False,
        description="for one start: lead although Consul's deployments were not written from this database",
    )

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'patcher.db').absolute()}"

    @property
    def rules(self) -> Rules:
        return Rules(
            drain=self.undeploy_drain_seconds,
            replace_after=self.replace_after_seconds,
            forget_gateway=self.forget_gateway_seconds,
        )
