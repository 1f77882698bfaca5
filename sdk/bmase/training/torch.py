"""What training code over PyTorch needs with one worker or many: the same lines for both.

model = prepare(run, model)                                  # DDP or FSDP when there are several workers
optimizer = AdamW(model.parameters())
if saved := run.resume():
    load(model, optimizer, saved.state["training"])          # written by any number of workers
for step in ...:
    seeded(run, step)                                        # dropout goes on as if nothing had happened
    ...
    if run.due(step):
        run.checkpoint(step, {"training": state(model, optimizer)})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from bmase.training.run import Run

Strategy = Literal["ddp", "fsdp", "none"]
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def device() -> torch.device:
    """Of this worker: its GPU if it has one."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def prepare(run: Run, model: nn.Module, strategy: Strategy = "ddp") -> nn.Module:
    """The model on this worker's device, its gradients averaged over all workers; with "fsdp" also cut among them.

    Make it alike in all workers before: `seeded(run)`. The optimiser is made afterwards, of what this returns.
    """
    torch.set_num_threads(run.threads)
    model = model.to(device())
    if strategy == "none" or not _several(run):
        return model
    if strategy == "fsdp":
        return _cut(run, model)
    return nn.parallel.DistributedDataParallel(model, [device()] if device().type == "cuda" else None)


def _cut(run: Run, model: nn.Module) -> nn.Module:
    """FSDP2, block by block: each part of a ModuleList is gathered by itself, the rest together."""
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
    from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

    mesh = init_device_mesh(device().type, (run.world_size,))
    for blocks in [each for each in model.modules() if isinstance(each, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def bare(model: nn.Module) -> nn.Module:
    """The model as it was before DDP."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Of the whole model on the CPU, however many workers hold it: all of them have to call; rank 0 gets it.

    On the CPU its tensors are the model's own, which the next step changes: `run.checkpoint` copies them.
    """
    weights, steps = get_state_dict(model, optimizer, options=_WHOLE)
    return {"model": weights, "optimizer": steps}


def load(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """What `state` gave, in every worker."""
    set_state_dict(
        model, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"], options=_WHOLE
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers on the CPU: all workers have to call; rank 0 gets it."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict  # noqa: PLC0415

    whole: Mapping[str, Any] = get_model_state_dict(model, options=_WHOLE)
    return {name: each.detach().clone() for name, each in whole.items()}


def seeded(run: Run, step: int = 0) -> None:
    """Sets torch's generator by the run's seed, the step and, after step 0, the worker.

    Called before each step it takes the place of a generator's state in a checkpoint, for any number of workers.
    """
    words = (run.seed & 0xFFFFFFFFFFFFFFFF, step, run.rank if step else 0)
    torch.manual_seed(_mixed(words))


def _mixed(words: tuple[int, ...]) -> int:
    """63 bits; numpy's SeedSequence spreads neighbours far apart."""
    from numpy.random import SeedSequence  # noqa: PLC0415

    return int(SeedSequence(words).generate_state(1, "uint64")[0] >> 1)


def summed(run: Run, *values: float | Tensor) -> list[float]:
    """The sums over all workers, which all have to call."""
    told = torch.stack([torch.as_tensor(value, dtype=torch.float64).detach().to(device()) for value in values])
    if _several(run):
        distributed.all_reduce(told)
    return [float(value) for value in told]


def _several(run: Run) -> bool:
    return run.world_size > 1 and distributed.is_available() and distributed.is_initialized()
