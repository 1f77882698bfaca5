from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from aiohttp import web
from bmase.patcher.v1 import deployment_pb2
from bmase.patcher.v1 import release_pb2 as pb
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2

from services.kit.consul.documents import ROUTES
from tests.integration.patcher.bench import NodeBench, affine_sample, eventually
from tests.integration.patcher.releases.flight import Flight, R, policy, steady
from tests.integration.patcher.releases.stage import E, shares
from tests.integration.patcher.test_deployments import refused
from tests.support import onnx_models
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio
D = deployment_pb2.Deployment


async def test_a_good_version_is_promoted_by_itself(flight: Flight) -> None:
    model = "good"
    one, two = await flight.ready(model)
    flight.monitor.replays.total = 200
    flight.monitor.good(model)
    made = await flight.start(model, keep=1, shadow_samples=200)
    assert (made.stable, made.candidate, made.state) == (one, two, R.STATE_DEPLOYING)
    completed = await flight.reaches(made.name, R.STATE_COMPLETED)
    assert completed.percent == 100
    await flight.settled(model)

    writes = flight.gateway.of(model)[1:]  # the first deployment's own route came before
    assert shares(writes, two) == [0, 5, 50, 100]
    assert all(write.release == made.name.removeprefix("releases/") for write in writes)
    assert len({write.fence for write in writes}) == 1
    route = await flight.gateway.stored(model)
    assert {entry.version for entry in route.versions} == {two}
    await flight.platform.reaches(model, one, D.STATE_GONE)

    events = await flight.events(made.name)
    kinds = [event.kind for event in events if event.kind not in ("hold", "leader")]
    assert kinds == ["created", "deployed", "shadow", "step", "step", "step", "promoted", "completed"]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    third = [event for event in events if event.kind == "step"][2]
    assert third.evidence.verdict == E.VERDICT_PROMOTE
    assert third.evidence.candidate.requests > 0

    async def alias() -> bool:
        told = await flight.platform.versions.GetVersion(
            registry_pb2.GetVersionRequest(name=f"models/{model}/versions/stable")
        )
        return bool(told.number == two)

    async def ended() -> bool:
        return made.name.replace("releases", "comparisons") in flight.monitor.ended

    await eventually(alias, "the alias stable")
    await eventually(ended, "the comparison ended")


async def test_a_bad_version_is_back_at_zero_in_a_moment(flight: Flight) -> None:
    model = "bad"
    one, two = await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model, policy=policy(5, 50, 100, min_time=600, keep_candidate=True))
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    mood = flight.monitor.bad(model)
    said = await flight.reaches(made.name, R.STATE_ROLLED_BACK)
    await flight.settled(model)
    assert shares(flight.gateway.of(model), two) == [0, 5, 0]
    took = next(write.at for write in flight.gateway.of(model) if write.at > mood.said_at) - mood.said_at
    print(f"from the monitor's word to the gateway's door: {1000 * took:.0f} ms")
    assert took < 0.2
    assert (said.reason, said.percent) == ("BAD_ERRORS", 0)
    assert said.message.endswith("9.7 % of requests fail, 0.4 % at the stable one")
    # The policy leaves the candidate where it is.
    assert (await flight.platform.get(model, two)).state == D.STATE_READY
    rollback = [event for event in await flight.events(made.name) if event.kind == "rollback"]
    assert [event.reason for event in rollback] == ["BAD_ERRORS", "BAD_ERRORS"]
    assert rollback[0].evidence.verdict == E.VERDICT_ROLLBACK
    assert (await flight.gateway.stored(model)).versions[0].version == one


async def test_silence_and_stale_words_hold(flight: Flight) -> None:
    model = "quiet"
    await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model)
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    flight.monitor.says(model, None)
    await asyncio.sleep(5.5)

    async def holds() -> bool:
        said = await flight.get(made.name)
        return (said.state, said.step, said.reason) == (R.STATE_STEPPING, 0, "STALE")

    await steady(holds, 2)
    flight.monitor.good(model).age = 8.0
    await steady(holds, 2)
    # What is old may still say that it was bad.
    flight.monitor.bad(model).age = 8.0
    await flight.reaches(made.name, R.STATE_ROLLED_BACK)
    flight.monitor.moods[model].age = 0.0


async def test_a_route_that_is_held_for_nobody_is_given_back(flight: Flight) -> None:
    """As after a take-over with an empty database."""
    model = "double"
    one, _ = await flight.ready(model)
    document = (await flight.gateway.stored(model)).model_copy(update={"release": "forgotten", "fence": 5})
    await flight.platform.consul.kv.put(ROUTES + model, document.encode())
    await flight.settled(model)
    assert {entry.version for entry in (await flight.gateway.stored(model)).versions} == {one}


async def test_one_release_a_model_and_one_request_a_release(flight: Flight) -> None:
    model = "single"
    one, two = await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    made = [flight.start(model, request_id="once") for _ in range(4)]
    names = {release.name for release in await asyncio.gather(*made)}
    assert len(names) == 1
    code = grpc.StatusCode
    await refused(flight.start(model), Reason.RELEASE_ACTIVE, code.FAILED_PRECONDITION)
    await refused(flight.start(model, request_id="once", keep=5), Reason.REQUEST_REUSED, code.ALREADY_EXISTS)
    active = await flight.releases.ListReleases(pb.ListReleasesRequest(model=f"models/{model}", active=True))
    assert [release.name for release in active.releases] == list(names)
    [name] = names
    await flight.rollback(name, "enough")
    await flight.reaches(name, R.STATE_ROLLED_BACK)
    await flight.platform.reaches(model, two, D.STATE_GONE)
    await refused(flight.rollback("releases/unknown"), Reason.RELEASE_NOT_FOUND, code.NOT_FOUND)
    await refused(flight.pause(name), Reason.RELEASE_ENDED, code.FAILED_PRECONDITION)
    words = await refused(flight.start(model, str(one)), Reason.INVALID_FIELD, code.INVALID_ARGUMENT)
    assert "has the traffic" in words
    await refused(flight.start(model, "99"), Reason.VERSION_NOT_FOUND, code.NOT_FOUND)
    await refused(flight.start(model, ""), Reason.INVALID_FIELD, code.INVALID_ARGUMENT)
    await flight.platform.push_affine("idle", 2)
    await refused(flight.start("idle", "1"), Reason.NO_STABLE_VERSION, code.FAILED_PRECONDITION)


async def test_pages_of_releases_and_of_events(flight: Flight) -> None:
    model = "pages"
    await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    made = []
    for _ in range(3):
        release = await flight.start(model)
        made.append(release.name)
        await flight.rollback(release.name)
        await flight.reaches(release.name, R.STATE_ROLLED_BACK)
    seen, token = [], ""
    while True:
        request = pb.ListReleasesRequest(model=f"models/{model}", page_size=2, page_token=token)
        page = await flight.releases.ListReleases(request)
        seen += [release.name for release in page.releases]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    whole = [event.number for event in await flight.events(made[0])]
    first = await flight.releases.ListReleaseEvents(pb.ListReleaseEventsRequest(name=made[0], page_size=2))
    rest = await flight.releases.ListReleaseEvents(
        pb.ListReleaseEventsRequest(name=made[0], page_size=1000, page_token=first.next_page_token)
    )
    assert [event.number for event in (*first.events, *rest.events)] == whole


async def test_a_person_pauses_promotes_and_rolls_back(flight: Flight) -> None:
    model = "manual"
    one, two = await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model, policy=policy(5, 25, 50, 100, min_time=1))
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    paused = await flight.pause(made.name)
    assert paused.paused

    async def stays() -> bool:
        return (await flight.get(made.name)).step == 0

    await steady(stays, 2)
    assert (await flight.get(made.name)).reason == "PAUSED"
    await flight.promote(made.name)
    assert (await flight.reaches(made.name, R.STATE_STEPPING, 1)).percent == 25
    await flight.promote(made.name, full=True)
    await flight.reaches(made.name, R.STATE_PROMOTED)
    began = time.time()
    await flight.rollback(made.name, "customers complain")
    said = await flight.reaches(made.name, R.STATE_ROLLED_BACK)
    zero = next(write for write in flight.gateway.of(model) if write.at > began)
    print(f"a person's rollback reached the gateway after {1000 * (zero.at - began):.0f} ms")
    assert zero.percent[two] == 0
    assert (said.reason, said.message) == (
        "REQUESTED",
        f"version {one} has all of the traffic again; customers complain",
    )
    assert shares(flight.gateway.of(model), two) == [0, 5, 25, 100, 0]


async def test_a_watch_tells_everything_and_ends(flight: Flight) -> None:
    model = "watched"
    await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model, keep=0)
    states: list[int] = []
    evidence = 0
    async with asyncio.timeout(40):
        async for said in flight.watch(made.name):
            evidence = max(evidence, said.evidence.candidate.requests)
            if not states or states[-1] != said.state:
                states.append(said.state)
    assert states[-1] == R.STATE_COMPLETED
    assert states == sorted(states)
    assert evidence > 0


async def test_shadow_decides_before_anybody_is_hurt(flight: Flight) -> None:
    model = "shade"
    _, two = await flight.ready(model)
    flight.monitor.replays.MergeFrom(type(flight.monitor.replays)(total=200, done=200, candidate_failed=40))
    flight.monitor.good(model)
    made = await flight.start(model, shadow_samples=200)
    said = await flight.reaches(made.name, R.STATE_FAILED)
    assert said.reason == "SHADOW_FAILED"
    await flight.settled(model)
    await flight.platform.reaches(model, two, D.STATE_GONE)
    assert all(write.percent.get(two, 0) == 0 for write in flight.gateway.of(model))


async def test_a_candidate_that_cannot_be_loaded_fails(flight: Flight) -> None:
    model = "broken"
    one, _ = await flight.ready(model)
    content = onnx_models.affine(3, 0).SerializeToString()
    three = await flight.platform.push(model, content, [affine_sample(5, 0)])  # its own sample proves it wrong
    made = await flight.start(model, str(three))
    said = await flight.reaches(made.name, R.STATE_FAILED, timeout=60)
    assert said.reason
    assert said.message.startswith(f"version {three}")
    await flight.settled(model)
    assert {entry.version for entry in (await flight.gateway.stored(model)).versions} == {one}


class Hook:
    """A webhook that answers what it is told to, and remembers what it was told."""

    def __init__(self) -> None:
        self.status, self.text = 409, "not yet"
        self.bodies: list[dict[str, object]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        self.bodies.append(body)
        asked = body["kind"] == "gate" and "number" not in body
        return web.Response(status=self.status if asked else 200, text=self.text)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, str]]:
    served, port = Hook(), free_port()
    application = web.Application()
    application.router.add_post("/release", served.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield served, f"http://127.0.0.1:{port}/release"
    await runner.cleanup()


async def test_webhooks_are_told_and_asked(flight: Flight, hook: tuple[Hook, str]) -> None:
    model = "hooked"
    await flight.ready(model)
    flight.monitor.good(model)
    served, url = hook
    made = await flight.start(model, policy=policy(5, 50, 100, webhooks=[pb.Webhook(url=url, gate=True)]))

    async def asked() -> bool:
        said = await flight.get(made.name)
        return said.reason == "WEBHOOK" and "not yet" in said.message

    await eventually(asked, "the webhook's word")
    assert (await flight.get(made.name)).percent == 0
    served.status = 200
    await flight.reaches(made.name, R.STATE_PROMOTED)
    gates = [body["percent"] for body in served.bodies if body["kind"] == "gate"]
    assert sorted(set(gates)) == [5, 50, 100]  # type: ignore[type-var]

    async def told() -> bool:
        kinds = [body["kind"] for body in served.bodies if "number" in body]
        return [kind for kind in kinds if kind not in ("hold", "leader")] == [
            "created", "deployed", "shadow", "step", "step", "step", "promoted",
        ]  # fmt: skip

    await eventually(told, "every event told, in order")


async def test_a_lost_candidate_is_no_regression(flight: Flight, nodes: dict[str, NodeBench]) -> None:
    model = "mishap"
    _, two = await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model, policy=policy(5, 50, 100, min_time=600))
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    where = (await flight.platform.get(model, two)).placements[0].node
    node = nodes[where]
    async with node.supervised():
        node.triton.process.suspend()

        async def sheltered() -> bool:
            return flight.gateway.of(model)[-1].percent.get(two) == 0

        await eventually(sheltered, "stable has the traffic meanwhile", 60)
        assert (await flight.get(made.name)).state == R.STATE_STEPPING
        node.triton.process.resume()
        await flight.reaches(made.name, R.STATE_STEPPING, 0, timeout=60)

        async def back() -> bool:
            return flight.gateway.of(model)[-1].percent.get(two) == 5

        await eventually(back, "back at 5 %", 60)
    assert "rollback" not in {event.kind for event in await flight.events(made.name)}


async def test_no_way_back_to_a_version_that_does_not_answer(flight: Flight, nodes: dict[str, NodeBench]) -> None:
    model = "stranded"
    one, two = await flight.ready(model)
    flight.monitor.good(model)
    made = await flight.start(model, policy=policy(50, 100, min_time=600))
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    node = nodes[(await flight.platform.get(model, one)).placements[0].node]
    node.triton.process.suspend()
    try:
        flight.monitor.bad(model)

        async def kept() -> bool:
            said = await flight.get(made.name)
            return said.reason == "STABLE_LOST" and said.percent == 50

        await eventually(kept, "the traffic stays where it is answered", 10)
        assert flight.gateway.of(model)[-1].percent[two] == 50
    finally:
        node.triton.process.resume()
    await flight.reaches(made.name, R.STATE_ROLLED_BACK, timeout=60)
