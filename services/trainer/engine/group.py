"""Workers of one attempt on Ray: whole workers in a placement group, one process group for torch among them.

Ray's own actors are used and not Ray Train: see docs/decisions/0024.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from bmase.reasons import Reason
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError, RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from services.kit.errors import DomainError
from services.trainer.data import Manifest
from services.trainer.engine import bundle
from services.trainer.engine.attempt import Attempt, Failed, Kept, Said
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.calling import CodeFailedError, call, guarded, words
from services.trainer.engine.reach import raylet, refusal
from services.trainer.engine.run import JobRun
from services.trainer.engine.scratch import scratch
from services.trainer.engine.telling import Teller, told
from services.trainer.jobs.state import Cause
from services.trainer.reproduce.determinism import apply
from services.trainer.reproduce.observe import observe_worker, plan_of

NAMESPACE = "bmase"
PLACED_WITHIN = 120.0  # seconds: the controller has counted that there is room
LOOK_EVERY = 0.2
SETTLE = 5.0  # seconds in which the other workers may tell what really happened
_DIED = (ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError)


@dataclass(frozen=True)
class Outcome:
    """What a worker's code came to. `worker`: its side of the record, of rank 0."""

    product: Kept | None = None
    failed: Failed | None = None
    worker: str = ""


class NodeGoneError(Exception):
    """A machine on which the workers are, or are to be, does not answer."""


class Mailbox:
    """Where workers say something and the driver listens; on the driver's node, so that no other's loss ends it."""

    def __init__(self) -> None:
        self._said: list[Said] = []

    def put(self, said: Sequence[Said]) -> None:
        self._said += said

    def take(self) -> list[Said]:
        said, self._said = self._said, []
        return said


class Worker:
    """One process of the group."""

    def __init__(self, attempt: Attempt, rank: int, mailbox: Any) -> None:
        self._attempt, self._rank, self._mailbox = attempt, rank, mailbox

    def node(self) -> str:
        """Where it is, by Ray's id."""
        return str(ray.get_runtime_context().get_node_id())

    def address(self) -> str:
        """Where rank 0 is to be met by the others."""
        host = ray.util.get_node_ip_address()
        with socket.socket() as found:
            found.bind((host, 0))
            return f"tcp://{host}:{found.getsockname()[1]}"

    def work(self, manifests: Mapping[str, Manifest], meet: str) -> Outcome:
        """The job's code, to its end."""
        with scratch() as folder:
            try:
                bundle.receive(self._attempt, Blobs(self._attempt.blobs), folder)
            except DomainError as error:
                if error.reason is Reason.ARTEFACT_NOT_FOUND:
                    return Outcome(failed=Failed(cause=Cause.ERROR, message=words(error)))
                raise
            own = folder / "own"
            own.mkdir()
            return self._work(manifests, meet, own)

    def _work(self, manifests: Mapping[str, Manifest], meet: str, folder: Path) -> Outcome:
        determinism = apply(plan_of(self._attempt.spec))
        teller = Teller(lambda said: ray.get(self._mailbox.put.remote(said)))

        def at_once(said: Said) -> None:
            ray.get(self._mailbox.put.remote([said]))

        run = self._run(manifests, folder, teller.tell, meet)
        try:
            with guarded(self._attempt, at_once, lambda: os._exit(1)), told(teller.tell, self._rank):
                call(self._attempt, run)
        except CodeFailedError as error:
            return Outcome(failed=error.failed)
        finally:
            teller.close()
        first = self._rank == 0
        return Outcome(product=run.product, worker=observe_worker(determinism).model_dump_json() if first else "")

    def _run(self, manifests: Mapping[str, Manifest], folder: Path, tell: Callable[[Said], None], meet: str) -> JobRun:
        workers = self._attempt.spec.resources.workers
        if workers == 1:
            return JobRun(self._attempt, manifests, folder, tell)
        least = _joined(meet, self._rank, workers, gpus=self._attempt.spec.resources.gpus > 0)
        return JobRun(self._attempt, manifests, folder, tell, rank=self._rank, world_size=workers, least=least)


def _joined(meet: str, rank: int, workers: int, *, gpus: bool) -> Callable[[int], int]:
    """This process is one of the group from now on; gives how all learn the least of what each has named."""
    import torch  # noqa: PLC0415  one worker alone may have no torch
    from torch import distributed  # noqa: PLC0415

    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    distributed.init_process_group(backend, init_method=meet, rank=rank, world_size=workers)

    def least(number: int) -> int:
        shared = torch.tensor([number])
        distributed.all_reduce(shared, distributed.ReduceOp.MIN)
        return int(shared)

    return least


class Group:
    """The workers of one attempt. Leave it and they are gone."""

    def __init__(self, attempt: Attempt, environment: Mapping[str, str]) -> None:
        self._attempt = attempt
        self._environment = dict(environment)

    def __enter__(self) -> Group:
        spec = self._attempt.spec.resources
        each = {"CPU": spec.cpus, **({"GPU": spec.gpus} if spec.gpus else {})}
        # Ray counts CPUs only: on a cluster, workers go where the controller has counted that there is memory, too.
        nodes = [{"ray.io/node-id": node} for node, count in self._attempt.nodes.items() for _ in range(count)]
        self._placed = placement_group([each] * spec.workers, bundle_label_selector=nodes or None)
        self._wait()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        own: dict[str, Any] = {"env_vars": self._environment}
        beside: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": here}
        if self._attempt.lock is not None:  # what workers say is of its packages, too
            own["py_executable"] = shlex.quote(sys.executable)  # for a shell
            beside["runtime_env"] = own
        self._mailbox: Any = ray.remote(Mailbox).options(**beside).remote()
        options = {"num_cpus": spec.cpus, "num_gpus": spec.gpus, "runtime_env": own}
        self._workers: list[Any] = [
            ray.remote(Worker)
            .options(**options, scheduling_strategy=PlacementGroupSchedulingStrategy(self._placed, rank))
            .remote(self._attempt, rank, self._mailbox)
            for rank in range(spec.workers)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            ray.kill(worker)
        remove_placement_group(self._placed)

    def _wait(self) -> None:
        deadline = time.monotonic() + PLACED_WITHIN
        while not self._placed.wait(1):
            _check(self._attempt.nodes)
            if time.monotonic() > deadline:
                workers = self._attempt.spec.resources.workers
                raise TimeoutError(f"Ray has found no room for {workers} workers within {PLACED_WITHIN:g} s")

    def work(self, manifests: Mapping[str, Manifest], listen: Callable[[Sequence[Said]], None]) -> Outcome:
        """Until all have ended, or one has failed; `listen` hears what is said."""
        nodes: list[str] = ray.get([worker.node.remote() for worker in self._workers])
        meet = ray.get(self._workers[0].address.remote())
        shared = ray.put(dict(manifests))
        refs = [worker.work.remote(shared, meet) for worker in self._workers]
        ended: dict[int, Outcome] = {}
        deadline = float("inf")
        while len(ended) < len(refs) and time.monotonic() < deadline:
            left = [ref for at, ref in enumerate(refs) if at not in ended]
            done, _ = ray.wait(left, num_returns=len(left), timeout=LOOK_EVERY)
            ended |= {refs.index(ref): _outcome(ref) for ref in done}
            heard = ray.get(self._mailbox.take.remote())
            listen([said for said in heard if not isinstance(said, Failed)])
            if told := next((said for said in heard if isinstance(said, Failed)), None):
                return Outcome(failed=told)
            if deadline == float("inf") and any(outcome.failed for outcome in ended.values()):
                _check(nodes)  # which explains whatever the workers say of each other
                deadline = time.monotonic() + SETTLE
        return _of_all(ended)


def _check(nodes: Iterable[str]) -> None:
    """NodeGoneError for one that has died; Ray itself misses it for some fifteen seconds."""
    known = {node["NodeID"]: node for node in ray.nodes()}
    for name in nodes:
        node = known.get(name)
        if node is None or not node["Alive"] or refusal(raylet(node)):
            where = node["NodeManagerAddress"] if node else name
            raise NodeGoneError(f"the node {where} is gone, and the workers that were there")


def _outcome(ref: Any) -> Outcome:
    try:
        found: Outcome = ray.get(ref)
        return found
    except _DIED as error:
        return Outcome(failed=Failed(cause=Cause.WORKER_LOST, message=f"a worker's process has died: {_short(error)}"))
    except RayError as error:
        return Outcome(failed=Failed(cause=Cause.WORKER_LOST, message=_short(error)))


def _of_all(ended: Mapping[int, Outcome]) -> Outcome:
    """What counts of several failures: a death explains the others; a broken connection to a peer explains nothing."""
    failures = [outcome.failed for _, outcome in sorted(ended.items()) if outcome.failed]
    if not failures:
        return ended[0]
    return Outcome(failed=min(failures, key=_explains))


def _explains(failed: Failed) -> int:
    if failed.cause in (Cause.WORKER_LOST, Cause.NODE_LOST):
        return 0
    return 2 if "gloo" in failed.message or "DistBackendError" in failed.message else 1


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
