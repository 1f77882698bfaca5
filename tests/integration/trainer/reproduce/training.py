"""A tiny training in a process of its own: `python training.py FOLDER SEED`.

Leaves its record, its weights, its series of losses and its answers on held-out rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.trainer.reproduce.code import read_code
from services.trainer.reproduce.determinism import Plan, apply
from services.trainer.reproduce.machine import observe_lock, observe_machine
from services.trainer.reproduce.record import Record


def main(folder: Path, seed: int) -> None:
    determinism = apply(Plan(seed=seed, threads=1))
    import numpy as np  # noqa: PLC0415 - after the plan, as user code is
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    rows = torch.randn(256, 16)
    truth = rows[:, :4].abs().sum(1, keepdim=True)
    net = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = {}
    for step in range(1, 41):
        chosen = torch.from_numpy(np.random.permutation(256)[:64])
        loss = torch.nn.functional.mse_loss(net(rows[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[step] = loss.item()
    answers = net.eval()(torch.linspace(-1, 1, 64).reshape(4, 16)).detach().numpy()
    save_file(net.state_dict(), folder / "model.safetensors")
    record = Record(
        code=read_code(Path(__file__).parent, "training:main"),
        environment=observe_lock(check=False),
        machine=observe_machine(torch),
        seed=seed,
        determinism=determinism,
    )
    (folder / "record.json").write_text(record.to_json())
    (folder / "losses.json").write_text(json.dumps(losses))
    np.save(folder / "answers.npy", answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
