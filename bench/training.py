"""What a job costs beside the same loop under plain torchrun, and what a killed worker costs.

The same file is trained by torchrun and as a bundle by the platform, with one worker and with two: a convolutional
network on random pictures, DDP, a checkpoint every 50 steps. Steady steps are those after the first tenth, without
those that keep a checkpoint; each step's time is taken in the worker itself. Two that are compared train in turns of
two seconds: the speed of a machine drifts by a third within a minute, and so both see the same. Rounds alternate which
begins; a ratio is the median of the rounds' own ratios.

    make bench BENCH=training
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from bmase import Client
from bmase.core.jobs import job
from bmase.trainer.v1 import trainer_pb2 as pb

from bench.support import results
from infra.local.place import CHECKOUT
from tests.support import jobs
from tests.support.suite import Suite

CODE = CHECKOUT / "bench" / "support" / "training_loop.py"
EVERY = 50
Run = Callable[[], dict[str, Any]]


def torchrun(folder: Path, workers: int, steps: int, turns: Path) -> dict[str, Any]:
    """The loop's own figures."""
    out = folder / f"plain-{time.monotonic_ns()}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT / "sdk")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    begun = time.time()
    subprocess.run(
        [*command, str(CODE), str(out), str(steps), str(EVERY), str(turns)], check=True, env=environment, cwd=folder
    )
    return _figures(json.loads((out / "0" / "figures.json").read_text()), begun)


def platform(client: Client, digest: str, workers: int, steps: int, name: str, turns: Path) -> dict[str, Any]:
    """The same of a job."""
    begun = time.time()
    made = client.jobs.create(_job(name, digest, workers, steps, str(turns)))
    seen = jobs.ended(client, made.name, timeout=900)
    if not seen.version:
        raise RuntimeError(f"the job did not succeed: {seen.message}")
    with tempfile.TemporaryDirectory() as folder:
        (file,) = client.pull_evidence(name, None, folder, "figures.json")
        return _figures(json.loads(file.read_text()), begun)


def together(turns: Path, one: Run, other: Run, *, second_first: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Their figures. The one that comes later begins while the other one waits for it: its start is undisturbed."""
    with ThreadPoolExecutor(2) as pool:
        runs: list[Future[dict[str, Any]]] = []
        for each in (other, one) if second_first else (one, other):
            runs.append(pool.submit(each))
            while not list(turns.glob("begun-*")):
                if runs[0].done():
                    runs[0].result()  # it has failed
                time.sleep(0.1)
        first, second = (run.result() for run in runs)
    return (second, first) if second_first else (first, second)


def recovery(client: Client, digest: str) -> dict[str, float]:
    """A worker of two is killed in the middle: seconds until a step beyond is told, and steps that were done twice."""
    made = client.jobs.create(_job("recovered", digest, 2, 400))
    jobs.until(
        client, made.name, lambda seen: seen.progress.step > 3 * EVERY and bool(seen.checkpoints), "under way", 600
    )
    victim = jobs.pids(client, made.name)[-1]
    reached = client.jobs.get(made.name).progress.step
    killed = time.time()
    os.kill(victim, signal.SIGKILL)
    again = 0.0
    for event in client.jobs.watch(made.name, kinds=[pb.WatchJobRequest.KIND_METRICS]):
        if event.WhichOneof("event") == "metrics":
            if event.attempt == 1:
                reached = max(reached, event.metrics.step)
            elif not again:
                again = event.time.ToMicroseconds() / 1e6
    seen = client.jobs.get(made.name)
    return {"seconds": again - killed, "lost": reached - seen.attempts[1].from_step}


def _job(name: str, digest: str, workers: int, steps: int, turns: str = "") -> pb.Job:
    return job(
        name,
        bundle=digest,
        entry_point="training_loop:main",
        parameters={"steps": steps, "every": EVERY, "turns": turns},
        workers=workers,
        cpus=1,
        time_limit=timedelta(hours=1),
    )


def _figures(found: dict[str, Any], begun: float) -> dict[str, Any]:
    """Seconds of a steady step, of one that keeps a checkpoint, and until the loop began."""
    steps = found["seconds"][len(found["seconds"]) // 10 :]
    first = len(found["seconds"]) - len(steps)
    kept = [s for at, s in enumerate(steps, first + 1) if at % EVERY == 0]
    plain = [s for at, s in enumerate(steps, first + 1) if at % EVERY]
    return {
        "step": statistics.median(plain),
        "mean": statistics.fmean(plain),
        "kept": statistics.median(kept),
        "whole": sum(steps) / len(steps),
        "start": found["began"] - begun,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in ("plain1", "plain2", "ours1", "ours2")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        suite = Suite(folder / "data", nodes=("blue",), settings="[trainer]\ncheckpoint_seconds = 3600\n", trains=True)
        try:
            client = suite.up().client
            digest = jobs.bundle(client, folder, CODE.read_text(), "training_loop.py")
            for turn in range(given.rounds):
                for workers in (1, 2):
                    name = f"round{turn}-{workers}"
                    turns = folder / name
                    turns.mkdir()
                    plain, ours = together(
                        turns,
                        lambda w=workers, t=turns: torchrun(folder, w, given.steps, t),
                        lambda w=workers, t=turns, n=name: platform(client, digest, w, given.steps, n, t),
                        second_first=turn % 2 == 1,
                    )
                    found[f"plain{workers}"].append(plain)
                    found[f"ours{workers}"].append(ours)
                print(f"round {turn + 1}: " + _row({key: each[-1] for key, each in found.items()}), flush=True)
            recovered = recovery(client, digest)
        finally:
            suite.down()
    _tell(found, recovered)


def _row(figures: dict[str, dict[str, Any]]) -> str:
    told = (
        f"{key} {each['step'] * 1000:.1f} ms a step, begun after {each['start']:.1f} s" for key, each in figures.items()
    )
    return ", ".join(told)


def _tell(found: dict[str, list[dict[str, Any]]], recovered: dict[str, float]) -> None:
    def median(key: str, what: str) -> float:
        return statistics.median(each[what] for each in found[key])

    def ratios(of: str, to: str) -> list[float]:
        return [round(a["step"] / b["step"], 4) for a, b in zip(found[of], found[to], strict=True)]

    for of, to in (("ours1", "plain1"), ("ours2", "plain2"), ("ours1", "ours2")):
        print(f"{of} against {to}, round by round: {' '.join(map(str, ratios(of, to)))}")
    document = {
        "overhead_ratio": statistics.median(ratios("ours1", "plain1")),
        "overhead_ratio_two_workers": statistics.median(ratios("ours2", "plain2")),
        "start_s": round(median("ours1", "start"), 2),
        "start_plain_s": round(median("plain1", "start"), 2),
        "recover_s_after_worker_kill": round(recovered["seconds"], 2),
        "lost_steps": int(recovered["lost"]),
        "checkpoint_every_steps": EVERY,
        "checkpoint_stall_ratio": round(median("ours1", "whole") / median("ours1", "mean"), 4),
        "two_workers_against_one": statistics.median(ratios("ours1", "ours2")),
    }
    results.finish("training", document)


if __name__ == "__main__":
    main()
