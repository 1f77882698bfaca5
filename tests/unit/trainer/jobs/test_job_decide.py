"""What is started, stopped, given up and resumed; and that everything that can start does."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.jobs import decide as deciding
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.capacity import Amount
from services.trainer.jobs.decide import GRACE, PATIENCE, POINT, Act, Plan, Seen, Why, decide, order
from services.trainer.jobs.quotas import Limit, Quotas
from services.trainer.jobs.state import Cause, Checkpoint, Job, Phase
from tests.unit.trainer.jobs.jobs import at, job
from tests.unit.trainer.jobs.simulator import GIB, Room

BLUE = {"blue": Amount(4000, 8 * GIB, 0)}
TWO = {"blue": Amount(2000, 8 * GIB, 0), "green": Amount(2000, 8 * GIB, 0)}


def sized(cpus: float = 1.0, workers: int = 1, gpus: int = 0, limit: float = 3600.0) -> dict[str, Any]:
    return {"cpus": cpus, "workers": workers, "gpus": gpus, "memory_bytes": GIB // 4, "time_limit": limit}


def acts(plan: Plan) -> dict[str, Act]:
    return {decision.before.id: decision.act for decision in plan.decisions}


def test_the_first_that_came_starts_first_and_the_others_know_why_they_wait() -> None:
    queue = [job(f"j{n}", created=n, resources=sized(2)) for n in range(4)]
    plan = decide(reversed(queue), Seen(10.0, BLUE), Quotas())
    assert acts(plan) == {"j0": Act.START, "j1": Act.START}
    assert {id: wait.why for id, wait in plan.waits.items()} == {"j2": Why.CAPACITY, "j3": Why.CAPACITY}
    assert plan.waits["j2"].sentence == "waits for 1 worker of 2 CPUs, 0.25 GiB: there is room for 0 now"
    assert plan.decisions[0].sentence == "its turn after 10 s; there is room on blue"


def test_workers_are_whole_and_each_on_one_node() -> None:
    plan = decide([job(resources=sized(3))], Seen(1.0, TWO), Quotas())
    assert plan.waits["j1"].why is Why.TOO_LARGE
    plan = decide([job(resources=sized(1.5, workers=2))], Seen(1.0, TWO), Quotas())
    assert plan.decisions[0].after.attempts[0].workers == {"blue": 1, "green": 1}


def test_nodes_with_gpus_are_left_to_those_who_need_them() -> None:
    nodes = {"a-gpu": Amount(1000, 8 * GIB, 1), "cpu": Amount(4000, 8 * GIB, 0)}
    queue = [job("plain", resources=sized(1)), job("gpu", 1.0, resources=sized(1, gpus=1))]
    plan = decide(queue, Seen(2.0, nodes), Quotas())
    placed = {decision.after.id: decision.after.attempts[0].workers for decision in plan.decisions}
    assert placed == {"plain": {"cpu": 1}, "gpu": {"a-gpu": 1}}


def test_a_point_of_priority_is_worth_a_minute() -> None:
    old, urgent = job("old", created=0.0), job("urgent", created=10 * POINT - 1, priority=10)
    assert order(urgent) < order(old) < order(job("late", created=10 * POINT + 1, priority=10))
    nodes = {"blue": Amount(1000, GIB * 4, 0)}
    assert acts(decide([old, urgent], Seen(10 * POINT, nodes), Quotas())) == {"urgent": Act.START}


def test_a_quota_keeps_out_its_owner_and_nobody_else() -> None:
    queue = [job(f"a{n}", n, "ann") for n in range(3)] + [job("b", 9.0, "bob")]
    quotas = Quotas(owners={"ann": Limit(jobs=1)})
    plan = decide(queue, Seen(10.0, BLUE), quotas)
    assert acts(plan) == {"a0": Act.START, "b": Act.START}
    assert plan.waits["a1"].why is Why.QUOTA
    assert plan.waits["a1"].sentence == "waits for others to end: the jobs of owner ann are used up"
    each = decide(queue, Seen(10.0, BLUE), Quotas(each_owner=Limit(millicpus=2000)))
    assert acts(each) == {"a0": Act.START, "a1": Act.START, "b": Act.START}


def test_a_label_has_a_quota_over_all_owners() -> None:
    queue = [job(f"j{n}", n, f"owner{n}", labels={"team": "vision"}) for n in range(3)]
    quotas = Quotas(labels={"team=vision": Limit(jobs=2)})
    plan = decide([*queue, job("other", 9.0, labels={"team": "text"})], Seen(10.0, BLUE), quotas)
    assert acts(plan) == {"j0": Act.START, "j1": Act.START, "other": Act.START}
    assert "label team=vision" in plan.waits["j2"].sentence


def test_what_can_never_start_is_in_nobodys_way() -> None:
    quotas = Quotas(owners={"ann": Limit(millicpus=500)})
    queue = [job("huge", 0.0, "bob", resources=sized(99)), job("over", 0.0, "ann"), job("small", 1.0, "bob")]
    plan = decide(queue, Seen(2 * PATIENCE, BLUE), quotas)
    assert acts(plan) == {"small": Act.START}
    assert {id: wait.why for id, wait in plan.waits.items()} == {"huge": Why.TOO_LARGE, "over": Why.OVER_QUOTA}


def test_machines_are_kept_free_for_one_that_has_waited_long() -> None:
    running = tr.begin(job("r", resources=sized(1)), 0.0, {"blue": 1})
    large, small = job("large", 1.0, resources=sized(4)), job("small", 2.0, resources=sized(1))
    seen = Seen(1.0 + PATIENCE - 1, BLUE, frozenset({("r", 1)}))
    assert acts(decide([running, large, small], seen, Quotas())) == {"small": Act.START}
    plan = decide([running, large, small], replace(seen, now=1.0 + PATIENCE), Quotas())
    assert acts(plan) == {}
    assert plan.waits["large"].sentence.endswith("; kept free for it: blue")
    assert "kept free for large" in plan.waits["small"].sentence


def test_one_that_needs_nothing_of_what_is_saved_up_goes_ahead() -> None:
    nodes = {"a": Amount(8000, 64 * GIB, 2)}
    running = tr.begin(job("r", resources=sized(1, gpus=1)), 0.0, {"a": 1})
    large, plain = job("large", 1.0, resources=sized(1, gpus=2)), job("plain", 2.0, resources=sized(4))
    seen = Seen(PATIENCE + 5, nodes, frozenset({("r", 1)}))
    assert acts(decide([running, large, plain], seen, Quotas())) == {"plain": Act.START}


def test_the_silence_of_the_engine_is_no_loss_and_starts_nothing() -> None:
    plan = decide([at(Phase.RUNNING), job("j2")], Seen(1e6, {}, None), Quotas())
    stops = [decision for decision in plan.decisions if decision.act is not Act.STOP]
    assert stops == []
    assert plan.waits["j2"].why is Why.ENGINE_SILENT


def test_a_cancelled_job_is_stopped_while_the_engine_is_silent_and_who_waits_is_told_what_is_known() -> None:
    cancelled = tr.cancel(at(Phase.RUNNING), 5.0, "alice", "no longer needed")
    plan = decide([cancelled, job("j2")], Seen(6.0, {}, None, silence="Ray is not at host:1"), Quotas())
    assert acts(plan) == {cancelled.id: Act.STOP}
    assert plan.waits["j2"].sentence == "Ray is not at host:1"


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (Seen(100.0, BLUE), Cause.WORKER_LOST),
        (Seen(100.0, {"green": BLUE["blue"]}), Cause.NODE_LOST),
        (Seen(100.0, BLUE, since=50.0), Cause.TRAINER_LOST),
    ],
)
def test_processes_that_are_gone_are_missed_and_the_cause_is_named(seen: Seen, cause: Cause) -> None:
    running = at(Phase.RUNNING, checkpoint=True)
    [decision] = decide([running], seen, Quotas()).decisions
    assert (decision.act, decision.after.phase, decision.after.cause) == (Act.REQUEUE, Phase.RESUMING, cause)
    assert decision.after.attempts[-1].cause is cause
    assert decide([at(Phase.PREPARING)], seen, Quotas()).decisions[0].after.phase is Phase.QUEUED


def test_a_new_attempt_and_a_new_trainer_have_time_to_appear() -> None:
    running = at(Phase.RUNNING)  # since second 1
    assert decide([running], Seen(GRACE, BLUE), Quotas()).decisions == ()
    assert decide([running], Seen(500.0 + GRACE - 1, BLUE, since=500.0), Quotas()).decisions == ()
    assert acts(decide([running], Seen(500.0 + GRACE, BLUE, since=500.0), Quotas())) == {"j1": Act.REQUEUE}


def test_a_lost_job_goes_on_from_its_checkpoint_after_a_pause() -> None:
    lost = tr.lost(at(Phase.RUNNING, checkpoint=True), 1, 5.0, Cause.WORKER_LOST, "killed")
    assert decide([lost], Seen(5.5, BLUE), Quotas()).waits["j1"].why is Why.PAUSED
    [decision] = decide([lost], Seen(6.0, BLUE), Quotas()).decisions
    assert (decision.act, decision.sentence) == (Act.RESUME, "goes on from step 10 on blue")
    assert decision.after.attempts[-1].from_step == 10
    evaluating = tr.lost(at(Phase.EVALUATING), 1, 5.0, Cause.WORKER_LOST, "killed")
    assert decide([evaluating], Seen(6.0, BLUE), Quotas()).decisions[0].sentence == "goes on at evaluating on blue"


def test_past_its_limit_a_job_is_stopped_until_it_is_gone() -> None:
    running = replace(at(Phase.RUNNING), spec=job(resources=sized(limit=100)).spec)
    alive = frozenset({("j1", 1)})
    assert decide([running], Seen(100.0, BLUE, alive), Quotas()).decisions == ()
    [first] = decide([running], Seen(101.0, BLUE, alive), Quotas()).decisions
    assert (first.act, first.after.phase) == (Act.STOP, Phase.RUNNING)
    assert first.sentence == "it has held its machines for longer than its limit of 100 s"
    [again] = decide([first.after], Seen(102.0, BLUE, alive), Quotas()).decisions
    assert (again.act, again.after) == (Act.STOP, first.after)
    [last] = decide([first.after], Seen(102.0, BLUE), Quotas()).decisions
    assert (last.act, last.after.phase, last.after.cause) == (Act.END, Phase.FAILED, Cause.TIME_LIMIT)


def test_the_limit_is_of_all_attempts_together_and_waiting_is_free() -> None:
    lost = replace(at(Phase.RESUMING), spec=job(resources=sized(limit=100)).spec)
    assert acts(decide([lost], Seen(1e6, BLUE), Quotas())) == {"j1": Act.RESUME}
    spent = replace(lost, spent=100.0)
    [decision] = decide([spent], Seen(1e6, BLUE), Quotas()).decisions
    assert (decision.act, decision.after.phase, decision.after.cause) == (Act.END, Phase.FAILED, Cause.TIME_LIMIT)


def test_no_limit_takes_a_version_from_its_job() -> None:
    """The registry was asked for it: what is there may not be of a job that failed."""
    kept = tr.committed(at(Phase.REGISTERING), 1, 6.0, 0)
    asked = replace(kept, spec=job(resources=sized(limit=100)).spec)
    assert acts(decide([asked], Seen(1e6, BLUE, frozenset({("j1", 1)})), Quotas())) == {}
    waits = tr.lost(asked, 1, 1e6, Cause.TRAINER_LOST, "killed")
    assert acts(decide([waits], Seen(2e6, BLUE), Quotas())) == {"j1": Act.RESUME}


def test_a_cancelled_job_holds_its_machines_until_its_processes_are_gone() -> None:
    cancelled = tr.cancel(at(Phase.RUNNING), 5.0, "ann", "enough")
    nodes = {"blue": Amount(1000, 8 * GIB, 0)}
    seen = Seen(100.0, nodes, frozenset({("j1", 1)}))
    plan = decide([cancelled, job("next", 9.0)], seen, Quotas())
    assert acts(plan) == {"j1": Act.STOP}
    plan = decide([cancelled, job("next", 9.0)], replace(seen, alive=frozenset()), Quotas())
    assert acts(plan) == {"j1": Act.END, "next": Act.START}
    assert plan.decisions[0].after.phase is Phase.CANCELLED


def test_too_many_losses_in_a_row_end_it() -> None:
    running = replace(at(Phase.RUNNING), fruitless=tr.MAX_FRUITLESS - 1)
    [decision] = decide([running], Seen(100.0, BLUE), Quotas()).decisions
    assert (decision.act, decision.after.cause) == (Act.END, Cause.LOST_TOO_OFTEN)


# --- over a long time

ROUND = 30.0  # seconds
LARGE: list[dict[str, Any]] = [
    {"resources": sized(4), "priority": -100},
    {"resources": sized(1, workers=4)},
    {"resources": sized(2, workers=2), "labels": {"team": "vision"}, "priority": 100},
]
# What is scarce: the machines, or the owner's quota of them.
SCARCE = [(BLUE, Quotas()), ({"blue": Amount(64_000, 64 * GIB, 0)}, Quotas(each_owner=Limit(millicpus=4000)))]
Scarce = tuple[dict[str, Amount], Quotas]


def flooded(large: dict[str, Any], scarce: Scarce) -> float | None:
    """Seconds until the large job starts while eight small, most urgent ones always wait; None: not in time."""
    room, number = Room(*scarce), 0
    bound = (100 - large.get("priority", 0)) * POINT + PATIENCE + 10 * ROUND
    while room.now < bound:
        waiting = [each for each in room.jobs.values() if each.waiting and each.id != "large"]
        for _ in range(8 - len(waiting)):
            number += 1
            small = job(f"s{number}", room.now, priority=100, resources=sized(1))
            room.add(small, 40.0 if number % 2 else 70.0)
        room.step(ROUND)
        if room.now == ROUND:
            room.add(job("large", room.now, **large), 50.0)
        room.jobs = {id: each for id, each in room.jobs.items() if not each.final}
        if "large" in room.began:
            return room.began["large"]
    return None


@pytest.mark.parametrize("large", LARGE)
@pytest.mark.parametrize("scarce", SCARCE)
def test_a_flood_of_small_urgent_jobs_starves_no_large_one(large: dict[str, Any], scarce: Scarce) -> None:
    assert flooded(large, scarce) is not None


@pytest.mark.parametrize("scarce", SCARCE)
def test_the_flood_is_one_that_would_starve_it(scarce: Scarce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "PATIENCE", 1e9)
    assert flooded(LARGE[1], scarce) is None


def _some_job(chance: random.Random, number: int, now: float) -> Job:
    return job(
        f"j{number}",
        now,
        chance.choice(("ann", "bob", "cleo")),
        resources=sized(chance.choice((0.5, 1, 2, 4)), chance.randint(1, 3), chance.choice((0, 0, 1)), limit=400),
        priority=chance.choice((-100, -5, 0, 5, 100)),
        labels=chance.choice(({}, {"team": "vision"}, {"team": "text", "kind": "nightly"})),
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), some=st.booleans())
def test_every_job_that_can_start_starts_and_nothing_is_promised_twice(seed: int, some: bool) -> None:
    chance = random.Random(seed)
    nodes = {name: Amount(chance.choice((2000, 4000, 8000)), 64 * GIB, chance.choice((0, 2))) for name in "abc"}
    limits = Quotas(
        each_owner=Limit(millicpus=chance.choice((4000, 9000)), jobs=chance.choice((2, 5))),
        labels={"team=vision": Limit(jobs=1), "kind=nightly": Limit(gpus=1)},
    )
    room = Room(nodes, limits if some else Quotas())
    for number in range(40):
        room.add(_some_job(chance, number, room.now), chance.uniform(1, 300))
        room.step(chance.uniform(0, 20))
        running = sorted(id for id, each in room.jobs.items() if each.active)
        if running and chance.random() < 0.2:
            room.kill(chance.choice(running))
        if chance.random() < 0.05:
            id = chance.choice(sorted(room.jobs))
            if not room.jobs[id].final:
                room.jobs[id] = tr.cancel(room.jobs[id], room.now, "ann", "")
    _until_quiet(room)
    stuck = {id: room.plan.waits[id].why for id, each in room.jobs.items() if not each.final}
    assert set(stuck.values()) <= {Why.TOO_LARGE, Why.OVER_QUOTA}, stuck


def _until_quiet(room: Room) -> None:
    for _ in range(2000):
        before = {id: each.phase for id, each in room.jobs.items()}
        room.step(PATIENCE / 4)
        moved = before != {id: each.phase for id, each in room.jobs.items()}
        rests = not any(each.active or each.ready > room.now for each in room.jobs.values() if not each.final)
        if rests and not moved:
            return
        room.jobs = {id: each for id, each in room.jobs.items() if not each.final}
    pytest.fail(f"never quiet: {room.plan.waits}")


def test_a_job_that_loses_and_saves_goes_on_to_its_end() -> None:
    room = Room(BLUE)
    room.add(job(), 1e9)
    room.step(1.0)
    for round in range(1, 3 * tr.MAX_FRUITLESS):
        running = tr.prepared(room.jobs["j1"], round, room.now)
        room.jobs["j1"] = tr.checkpointed(running, round, Checkpoint(round, "file:///c"))
        room.kill("j1")
        room.step(GRACE)
        room.step(2.0)
        assert room.jobs["j1"].attempts[-1].from_step == round
