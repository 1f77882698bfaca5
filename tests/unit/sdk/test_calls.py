"""Requests, retries and watches as values."""

from __future__ import annotations

import inspect
import json
from types import ModuleType
from typing import Any

import pytest
from bmase import aio, connection, names, sync
from bmase.aio import registry as aio_registry
from bmase.aio import serving as aio_serving
from bmase.core import deployments, jobs, registry, routes
from bmase.core.calls import Backoff, Follow
from bmase.core.registry import NewVersion
from bmase.core.routes import Mirror, Override, RouteSpec, Sticky
from bmase.errors import (
    AlreadyExists,
    DeploymentFailed,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TimedOut,
    Unavailable,
)
from bmase.gateway.v1 import route_pb2
from bmase.patcher.v1 import deployment_pb2
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2
from bmase.sync import registry as sync_registry
from bmase.sync import serving as sync_serving
from google.protobuf import descriptor_pool
from tritonclient.grpc import service_pb2  # noqa: F401  its services must be in the pool

Watched = registry_pb2.WatchModelsResponse


def _methods(module: ModuleType) -> dict[str, inspect.Signature]:
    return {
        f"{name}.{method}": inspect.signature(function)
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
        for method, function in vars(kind).items()
        if inspect.isfunction(function) and not method.startswith("_")
    }


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [(sync.client, aio.client), (sync_registry, aio_registry), (sync_serving, aio_serving)],
)
def test_both_edges_have_the_same_methods_and_parameters(blocking: ModuleType, asynchronous: ModuleType) -> None:
    one, two = _methods(blocking), _methods(asynchronous)
    assert one.keys() == two.keys()
    assert {n: list(s.parameters.values()) for n, s in one.items()} == {
        n: list(s.parameters.values()) for n, s in two.items()
    }


def test_every_method_that_is_retried_exists() -> None:
    pool = descriptor_pool.Default()
    for service, methods in connection.IDEMPOTENT.items():
        known = {m.name for m in pool.FindServiceByName(service).methods}
        assert set(methods.split()) <= known


def test_calls_that_may_not_be_repeated_are_not_retried() -> None:
    config = json.loads(connection.service_config())
    retried = {(n["service"], n["method"]) for n in config["methodConfig"][0]["name"]}
    assert ("inference.GRPCInferenceService", "ModelInfer") not in retried
    assert ("bmase.gateway.v1.RouteService", "SetWeights") not in retried
    assert ("bmase.registry.v1.RegistryService", "WriteArtefact") not in retried
    assert ("bmase.registry.v1.RegistryService", "SetAlias") in retried


def test_names_of_headers_go_in_lower_case() -> None:
    assert connection.headers({"X-User": "One", "x-team ": "qa"}) == (("x-user", "One"), ("x-team", "qa"))
    assert connection.headers(None) == ()


def test_a_version_that_exists_is_named_by_the_error() -> None:
    known = AlreadyExists("equal", reason=Reason.VERSION_EXISTS, metadata={"model": "m", "version": "7"})
    assert registry.equal_version(known) == 7
    for other in (
        AlreadyExists("a model", reason=Reason.MODEL_EXISTS, metadata={"model": "m"}),
        AlreadyExists("reused", reason=Reason.REQUEST_REUSED, metadata={"version": "7"}),
    ):
        with pytest.raises(AlreadyExists, match=other.message):
            registry.equal_version(other)


@pytest.mark.parametrize(
    ("text", "resource"),
    [(None, "latest"), (3, "3"), ("3", "3"), ("v3", "3"), ("stable", "stable"), ("vega", "vega")],
)
def test_version_names(text: int | str | None, resource: str) -> None:
    assert names.version("digits", text) == f"models/digits/versions/{resource}"
    assert names.version("models/digits", text) == f"models/digits/versions/{resource}"


@pytest.mark.parametrize("name", ["", "a/b", "models/", "../x", "models/a/versions/1"])
def test_names_that_would_mean_another_resource_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.model(name)


def test_numbers_and_aliases() -> None:
    assert [names.number(t) for t in (7, "7", "v7", "stable", None, "٣")] == [7, 7, 7, None, None, None]


@pytest.mark.parametrize("alias", ["v2", "7", "v2026", "", "a/b"])
def test_aliases_that_would_mean_something_else_are_refused(alias: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        registry.set_alias("digits", alias, 1, 0)
    assert refused.value.field == "alias"


def test_an_alias_may_begin_like_a_number() -> None:
    assert registry.set_alias("digits", "v2-candidate", 1, 0).request.alias == "v2-candidate"  # type: ignore[attr-defined]


def test_a_version_carries_everything_that_was_said() -> None:
    new = NewVersion(
        description="better",
        labels={"team": "x"},
        metrics={"accuracy": 0.9},
        max_batch_size=8,
        dynamic_batching=True,
        max_queue_delay_us=100,
        preferred_batch_sizes=(4, 8),
        instances=2,
        parameters={"intra_op_thread_count": "1"},
        format="onnx",
        lineage={"seed": 7, "parameters": {"lr": 0.1}},
    )
    call = registry.create_version("digits", [registry_pb2.File(path="model.onnx")], new, "id")
    sent = call.request
    assert isinstance(sent, registry_pb2.CreateVersionRequest)
    assert sent.parent == "models/digits"
    assert sent.request_id == "id"
    assert sent.create_model
    version = sent.version
    assert version.format == registry_pb2.FORMAT_ONNX
    assert version.metrics["accuracy"] == 0.9
    assert version.serving.max_batch_size == 8
    assert list(version.serving.dynamic_batching.preferred_batch_sizes) == [4, 8]
    assert (version.lineage.source, version.lineage.seed) == ("push", 7)
    assert version.lineage.parameters["lr"] == 0.1
    assert not version.HasField("signature")


def test_how_a_version_is_served_is_left_to_the_registry() -> None:
    """The registry knows best, unless something is said."""
    assert registry.serving(NewVersion()) is None
    assert registry.serving(NewVersion(instances=2)) == registry_pb2.Serving(
        instances=2, dynamic_batching=registry_pb2.DynamicBatching()
    )
    assert registry.serving(NewVersion(dynamic_batching=False)) == registry_pb2.Serving()
    unbatched = registry.serving(NewVersion(max_batch_size=0))
    assert unbatched is not None
    assert unbatched.HasField("max_batch_size")


def test_creations_have_ids_of_their_own() -> None:
    one, two = (registry.create_model("m", "", {}).request for _ in range(2))
    assert one.request_id != two.request_id  # type: ignore[attr-defined]


def test_an_update_names_only_what_was_given() -> None:
    def fields(description: str | None, labels: dict[str, str] | None) -> list[str]:
        return list(registry.update_model("m", description, labels, "").request.update_fields)  # type: ignore[attr-defined]

    assert fields("x", None) == ["description"]
    assert fields(None, {}) == ["labels"]


def test_an_update_of_nothing_is_refused() -> None:
    for update in (
        lambda: registry.update_model("m", None, None, ""),
        lambda: registry.update_version("m", 1, None, None),
    ):
        with pytest.raises(InvalidArgument, match="nothing to change") as refused:
            update()
        assert refused.value.field == "update_fields"


def test_a_whole_route() -> None:
    spec = RouteSpec(
        {1: 90, 2: 10},
        sticky=Sticky("x-user"),
        overrides=[Override("x-team", 2, "qa")],
        mirror=Mirror(3, 5.0),
        retries=-1,
    )
    route = routes.build("digits", spec, "e")
    assert route.name == "routes/digits"
    assert {v.version: v.weight for v in route.versions} == {1: 90, 2: 10}
    assert route.sticky.header == "x-user"
    assert route.overrides[0].value == "qa"
    assert route.mirror.percent == 5.0
    assert (route.retries, route.etag) == (-1, "e")
    assert not route.HasField("timeout")
    assert routes.build("m", RouteSpec({1: 1}, sticky=Sticky()), "").sticky.source_ip


def _watch_event(kind: Watched.Kind, revision: int) -> Watched:
    return Watched(kind=kind, revision=revision)


def _from(follow: Follow[Watched]) -> int:
    request = follow.call().request
    assert isinstance(request, registry_pb2.WatchModelsRequest)
    return request.from_revision


def test_a_broken_watch_begins_again_until_it_was_synced_and_goes_on_after() -> None:
    follow = Follow(registry.watch_models(None, 0))
    follow.saw(_watch_event(Watched.KIND_MODEL_PUT, 5))
    assert _from(follow) == 0
    follow.saw(_watch_event(Watched.KIND_SYNCED, 9))
    assert _from(follow) == 9
    follow.saw(_watch_event(Watched.KIND_VERSION_PUT, 12))
    assert _from(follow) == 12


def test_a_watch_from_a_revision_goes_on_at_once() -> None:
    follow = Follow(registry.watch_models("digits", 5))
    follow.saw(_watch_event(Watched.KIND_MODEL_PUT, 6))
    assert _from(follow) == 6


def test_a_watch_of_a_deployment_ends_when_it_is_gone() -> None:
    follow = Follow(deployments.follow("digits", 1))
    assert not follow.saw(deployment_pb2.Deployment(state=deployment_pb2.Deployment.STATE_READY))
    assert follow.saw(deployment_pb2.Deployment(state=deployment_pb2.Deployment.STATE_GONE))


def test_a_watch_of_a_job_ends_with_the_stream_and_one_of_routes_does_not() -> None:
    """After the last event of a job there is nothing more to be told, not even its end."""
    job = Follow(jobs.watch("1", 99, ()))
    assert job.broke(None) is None
    assert job.broke(Unavailable("down"))
    assert Follow(routes.watch(None)).broke(None)


def test_giving_up_after_many_failures_in_a_row_only() -> None:
    follow = Follow(routes.watch(None))
    failure = Unavailable("down")
    for _ in range(20):
        assert follow.broke(failure)
        follow.saw(route_pb2.WatchRoutesResponse())
    for _ in range(8):
        follow.broke(failure)
    with pytest.raises(Unavailable, match="down"):
        follow.broke(failure)


def test_a_watch_begins_again_when_the_registry_has_forgotten_what_came_between() -> None:
    gone = InvalidArgument("not kept any more", reason=Reason.REVISION_GONE, status="OUT_OF_RANGE")
    with pytest.raises(InvalidArgument):
        Follow(registry.watch_models(None, 5)).broke(gone)
    follow = Follow(registry.watch_models(None, 5))
    follow.saw(_watch_event(Watched.KIND_MODEL_PUT, 6))
    assert follow.broke(gone) > 0
    assert _from(follow) == 0


def test_a_watch_ends_with_errors_that_waiting_does_not_help_against() -> None:
    follow = Follow(routes.watch(None))
    follow.saw(route_pb2.WatchRoutesResponse())
    with pytest.raises(NotFound):
        follow.broke(NotFound("no such model"))


def test_a_deadline_ends_a_watch_at_once() -> None:
    with pytest.raises(TimedOut):
        Follow(routes.watch(None), 1.0).broke(TimedOut("late"))


def test_the_deadline_of_a_watch_is_one_for_all_its_streams() -> None:
    left = Follow(routes.watch(None), 5.0).call().timeout
    assert left is not None
    assert 4.0 < left <= 5.0


def test_waiting_times_grow_up_to_a_limit() -> None:
    backoff = Backoff(first=1.0, most=4.0, limit=5)
    waits = [backoff.failed() for _ in range(6)]
    assert waits[-1] is None
    for wait, top in zip(waits[:-1], (1.0, 2.0, 4.0, 4.0, 4.0), strict=True):
        assert wait is not None
        assert top / 2 <= wait <= top


def _seen(state: deployment_pb2.Deployment.State, **more: Any) -> deployment_pb2.Deployment:
    return deployment_pb2.Deployment(name="models/digits/deployments/1", state=state, **more)


def test_a_deployment_is_waited_for_until_ready() -> None:
    states = deployment_pb2.Deployment
    waiting = deployments.Waiting(deployments.ready, "digits", 1, 5)
    assert not waiting.saw(_seen(states.STATE_PENDING))
    assert not waiting.saw(_seen(states.STATE_DEGRADED))
    assert waiting.saw(_seen(states.STATE_READY))


def test_a_failed_deployment_says_why() -> None:
    with pytest.raises(DeploymentFailed) as failed:
        deployments.ready(_seen(deployment_pb2.Deployment.STATE_FAILED, reason="LOAD_FAILED", message="no such op"))
    assert failed.value.reason == "LOAD_FAILED"
    assert "no such op" in failed.value.message


def test_running_out_of_time_says_what_was_seen_last() -> None:
    waiting = deployments.Waiting(deployments.ready, "digits", 1, 5)
    waiting.saw(_seen(deployment_pb2.Deployment.STATE_PENDING, reason="NO_CAPACITY", message="no node has room"))
    with pytest.raises(TimedOut, match="pending: no node has room") as late, waiting.explained():
        raise TimedOut("deadline")
    assert late.value.reason == "NO_CAPACITY"


def test_a_version_that_its_route_keeps_is_not_waited_for() -> None:
    waiting = deployments.Waiting(deployments.gone, "digits", 1, 5)
    assert not waiting.saw(_seen(deployment_pb2.Deployment.STATE_DRAINING))
    with pytest.raises(PreconditionFailed, match="ready again: the route sends requests to it"):
        waiting.saw(
            _seen(
                deployment_pb2.Deployment.STATE_READY,
                reason=Reason.VERSION_IN_ROUTE,
                message="the route sends requests to it",
            )
        )


def test_a_deployment_that_is_not_there_is_gone() -> None:
    waiting = deployments.Waiting(deployments.gone, "digits", 1, 5)
    with waiting.explained():
        raise NotFound("no such deployment")
    assert waiting.last().state == deployment_pb2.Deployment.STATE_GONE
    with pytest.raises(NotFound), deployments.Waiting(deployments.ready, "digits", 1, 5).explained():
        raise NotFound("no such deployment")
