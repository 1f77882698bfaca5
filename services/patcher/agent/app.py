"""Composition root of the agent: settings in, parts built, started, and stopped in reverse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from services.kit import app, telemetry
from services.kit.client import ServiceClients
from services.kit.consul import Consul, Session
from services.kit.files import only_one
from services.kit.server import GrpcServer, metrics_address
from services.patcher.agent import selfcheck
from services.patcher.agent.config import AgentSettings
from services.patcher.agent.fetch import Fetcher
from services.patcher.agent.introduce import Reader, registration
from services.patcher.agent.metrics import NodeMetrics
from services.patcher.agent.monitor import Monitor
from services.patcher.agent.node import Node
from services.patcher.agent.orders import OrderBook
from services.patcher.agent.publish import Publisher
from services.patcher.agent.repository import Preload, Repository
from services.patcher.agent.steps import Tools
from services.patcher.agent.store import Store
from services.patcher.agent.triton import Triton
from services.patcher.agent.warmup import Warmup


async def build(stack: AsyncExitStack) -> None:
    """Everything of one agent. It needs neither Consul, nor the registry, nor Triton to start."""
    settings = AgentSettings()
    told = stack.enter_context(telemetry.start(settings))
    stack.enter_context(only_one(settings.data_dir, "agent"))
    consul = await stack.enter_async_context(Consul.of(settings))
    session = await stack.enter_async_context(Session(consul, f"agent-{settings.node}"))
    clients = await stack.enter_async_context(ServiceClients(consul, settings))
    triton = Triton(settings.triton_local or settings.triton_grpc, settings.repository_dir)
    stack.push_async_callback(triton.close)

    wakes: list[Callable[[], None]] = []

    def changed() -> None:
        for wake in wakes:
            wake()

    tools = _tools(settings, triton, clients, changed)
    book = OrderBook(settings.data_dir / "orders.json")
    publisher = Publisher(session, settings.node)
    node = Node(tools, book, Preload(settings.models_path), publisher)
    wakes.append(node.wake)
    NodeMetrics(told.registry, tools.monitor, node)

    await stack.enter_async_context(GrpcServer(settings, "agent", [], telemetry=told))  # health, for probes
    host, _ = settings.advertised(0)
    own_metrics = metrics_address(settings, told.metrics_port, host)
    await stack.enter_async_context(registration(consul, settings, own_metrics))
    app.supervise(stack, publisher.run(), "publisher")
    app.supervise(stack, tools.monitor.run(), "monitor")
    reader = Reader(consul, settings, book, node.wake)
    app.supervise(stack, reader.run(), "reader")
    app.supervise(stack, reader.introduce(), "introduction")
    app.supervise(stack, node.run(), "node")


def _tools(settings: AgentSettings, triton: Triton, clients: ServiceClients, changed: Callable[[], None]) -> Tools:
    store = Store(settings.data_dir.absolute() / "store", settings.disk_budget_bytes)
    checked = settings.self_check and selfcheck.BACKEND in settings.backends
    check = partial(selfcheck.check, triton, settings.repository_dir) if checked else None
    return Tools(
        triton=triton,
        monitor=Monitor(triton, check, changed),
        store=store,
        repository=Repository(settings.repository_dir, settings.data_dir.absolute(), store),
        fetcher=Fetcher(clients.channel("registry"), store),
        warmup=Warmup(triton, settings.warmup_seconds),
        metrics=settings.triton_metrics,
        load_seconds=settings.load_seconds,
        unload_seconds=settings.unload_seconds,
    )


def main() -> None:
    app.run(build)
