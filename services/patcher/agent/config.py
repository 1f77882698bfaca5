"""Settings of an agent, from `BMASE_AGENT_*` or the table `[agent]`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.kit.config import ServiceSettings, split_address

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
NODE_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"


class AgentSettings(ServiceSettings):
    """One node. Addresses are those under which gateways and Prometheus reach its Triton."""

    model_config = SettingsConfigDict(env_prefix="BMASE_AGENT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    node: str = Field(
        default_factory=lambda: socket.gethostname().lower(),
        pattern=NODE_PATTERN,
        description="name of the node; default the host name",
    )
    pool: str = Field(default="default", pattern=NODE_PATTERN, description="deployments can ask for one")
    backends: tuple[str, ...] = Field(
        default=("onnxruntime", "python"), description="Triton's backends that the node offers"
    )
    triton_grpc: str = Field(default="127.0.0.1:8001", description="where gateways reach its Triton by gRPC")
    triton_http: str = Field(default="127.0.0.1:8000", description="where gateways reach it by HTTP")
    triton_metrics: str = Field(default="127.0.0.1:8002", description="where Prometheus reads it")
    triton_local: str = Field(
        default="", description="how this agent reaches Triton's gRPC, where that is not the address above"
    )
    repository: Path | None = Field(
        default=None, description="Triton's model repository; default: `data_dir`/repository"
    )
    models_file: Path | None = Field(
        default=None, description="what Triton loads when it starts; default: `data_dir`/models.json"
    )
    disk_budget_bytes: int = Field(
        default=50 * 2**30, ge=2**20, description="for artefacts; what no live model uses is evicted first"
    )
    memory_capacity_bytes: int = Field(
        default_factory=lambda: machine_memory() * 8 // 10,
        ge=0,
        description="what deployments can reserve; default four fifths of the machine or container",
    )
    unload_seconds: float = Field(
        default=2.0, ge=0, le=600, description="requests under way may take before a model is unloaded"
    )
    load_seconds: float = Field(default=300.0, gt=0, le=86400, description="for one load")
    warmup_seconds: float = Field(default=60.0, gt=0, le=3600, description="for one warm-up request")
    self_check: bool = Field(
        default=True,
        description="ask Triton for a known answer before the node offers itself (needs the backend onnxruntime)",
    )

    @model_validator(mode="after")
    def _addresses(self) -> AgentSettings:
        for address in (self.triton_grpc, self.triton_http, self.triton_metrics, self.triton_local):
            if address:
                split_address(address)
        return self

    @property
    def repository_dir(self) -> Path:
        return (self.repository or self.data_dir / "repository").absolute()

    @property
    def models_path(self) -> Path:
        return (self.models_file or self.data_dir / "models.json").absolute()


def machine_memory() -> int:
    """Bytes of memory that this process may use: the container's limit or the machine's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return total
