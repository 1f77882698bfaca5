"""The loop of bench.training: run by torchrun as it is, and by the platform as a bundle."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from bmase import training
from bmase.training.torch import load, prepare, state
from torch import distributed, nn

ROWS = 2048
TURN = 2.0  # seconds
PATIENCE = 300.0


class Turns:
    """Two runs that train in turns, in a folder of theirs: while one does, the other waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = (folder / "turn").open("a")
        self._until = 0.0

    def meet(self, where: str) -> None:
        """Both have come here."""
        (self._folder / f"{where}-{os.getpid()}").touch()
        until = time.monotonic() + PATIENCE
        while len(list(self._folder.glob(f"{where}-*"))) < 2:
            if time.monotonic() > until:
                raise TimeoutError(f"the other run has not {where}")
            time.sleep(0.05)

    def take(self) -> None:
        """Goes on, if need be when the other one's turn is over."""
        if time.monotonic() >= self._until:
            self.leave()
            time.sleep(0.02)
            fcntl.flock(self._mine, fcntl.LOCK_EX)
            self._until = time.monotonic() + TURN

    def leave(self) -> None:
        fcntl.flock(self._mine, fcntl.LOCK_UN)


def main(run: training.Run) -> None:
    """A step is a batch of 64 of all workers together."""
    print(f"pid {os.getpid()} rank {run.rank}", flush=True)
    torch.manual_seed(run.seed)
    torch.set_num_threads(1)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 256), nn.ReLU(), nn.Linear(256, 10)),
    )
    model = prepare(run, network)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    draw = np.random.default_rng(1)
    images = torch.from_numpy(draw.random((ROWS, 1, 28, 28), np.float32))
    labels = torch.from_numpy(draw.integers(0, 10, ROWS))
    saved = run.resume()
    if saved:
        load(model, optimizer, saved.state["training"])
    first, steps, every = saved.step if saved else 0, int(run.parameters["steps"]), int(run.parameters["every"])
    each = 64 // run.world_size
    turns = Turns(Path(run.parameters["turns"])) if run.parameters["turns"] and run.rank == 0 else None
    seconds, began = [], time.time()
    if turns:
        turns.meet("begun")
    for step in range(first + 1, steps + 1):
        if turns:
            turns.take()
        begun = time.perf_counter()
        at = ((step * run.world_size + run.rank) * each) % ROWS
        loss = nn.functional.cross_entropy(model(images[at : at + each]), labels[at : at + each])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(step, total=steps, loss=loss.item())
        if step % every == 0:
            run.checkpoint(step, {"training": state(model, optimizer)})
        seconds.append(time.perf_counter() - begun)
    if turns:
        turns.leave()
        turns.meet("ended")
    run.finish(_product(run, network, {"seconds": seconds, "began": began}))


def _product(run: training.Run, network, figures):
    out = run.folder / "product"
    out.mkdir(exist_ok=True)
    told = run.folder / "figures.json"
    told.write_text(json.dumps(figures))
    if run.first:
        network.eval()
        torch.onnx.export(network, (torch.zeros(2, 1, 28, 28),), out / "model.onnx", dynamo=True, verbose=False)
    return training.Product(out, evidence={"figures.json": told})


class Plain:
    """What torchrun alone gives the same loop: nothing is told, and a checkpoint is a file, written while it waits."""

    def __init__(self, out: Path, parameters: dict[str, int | str]) -> None:
        self.rank, self.world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.first, self.threads, self.seed = self.rank == 0, 1, 0
        self.parameters, self.folder = parameters, out / str(self.rank)
        self.folder.mkdir(parents=True)

    def resume(self) -> None:
        return None

    def report(self, *_: object, **__: object) -> None:
        pass

    def checkpoint(self, step: int, kept: object) -> None:
        if self.first:
            torch.save(kept, self.folder / f"{step}.pt")

    def finish(self, _: object) -> None:
        pass


if __name__ == "__main__":
    if int(os.environ["WORLD_SIZE"]) > 1:
        distributed.init_process_group("gloo")
    out, steps, every, turns = sys.argv[1:]
    main(Plain(Path(out), {"steps": int(steps), "every": int(every), "turns": turns}))
