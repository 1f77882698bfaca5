"""Training code of one's own: digits of 8 x 8 by a network of two layers. It runs under BMASE and without it.

python examples/training/train.py --data digits.npz --set epochs=20 --out trained
"""

from __future__ import annotations

import torch
from bmase import training
from bmase.training.torch import bare, load, prepare, seeded, state
from torch import Tensor, nn
from torch.nn import functional


class Digits(nn.Module):
    """(n, 8, 8), from 0 to 16, to logits (n, 10)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image / 16)


def main(run: training.Run) -> None:
    epochs, width = run.parameters.get("epochs", 20), run.parameters.get("width", 64)
    seeded(run)
    model = prepare(run, Digits(width))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    step = begin = 0
    if saved := run.resume():
        load(model, optimizer, saved.state["training"])
        step, begin = saved.step, saved.state["epoch"]
    for epoch in range(begin, epochs):
        for batch in run.rows(batch=64 // run.world_size, shuffle=10_000, epoch=epoch):
            seeded(run, step + 1)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(torch.from_numpy(batch["image"]).float()), labels(batch))
            loss.backward()
            optimizer.step()
            step += 1
            run.report(step, epoch=epoch, loss=float(loss.detach()))
        if run.due(step):
            run.checkpoint(step, {"training": state(model, optimizer), "epoch": epoch + 1})
        run.report(step, epoch=epoch + 1, val_accuracy=accuracy(run, model))
    if run.first:
        run.finish(product(run, bare(model)))


def labels(batch: training.Batch) -> Tensor:
    return torch.from_numpy(batch["label"]).long()


@torch.no_grad()
def accuracy(run: training.Run, model: nn.Module) -> float:
    rows = run.table("validation")
    chosen = model(torch.from_numpy(rows["image"]).float()).argmax(1)
    return float((chosen == labels(rows)).float().mean())


def product(run: training.Run, model: nn.Module) -> training.Product:
    folder = run.folder / "product"
    folder.mkdir()
    torch.onnx.export(
        model.eval(),
        (torch.zeros(2, 8, 8),),
        str(folder / "model.onnx"),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        dynamo=True,
        external_data=False,
    )
    return training.Product(
        folder, task="classification", inputs={"image": "image"}, target="label", output="logits", logits=True
    )


if __name__ == "__main__":
    training.local(main)
