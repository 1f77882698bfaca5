"""The training of image-classification."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from bmase.training import Batch, Product, Run
from bmase.training.torch import device, load, prepare, seeded, state, summed, weights
from torch import Tensor
from torch.nn import functional

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.export import export
from services.trainer.recipes.images.data import Pictures, look
from services.trainer.recipes.images.model import Network, Served, moved
from services.trainer.recipes.images.recipe import Images
from services.trainer.recipes.schedule import set_rate, warm_cosine
from services.trainer.recipes.stopping import Best

SHUFFLE = 20_000  # rows in the buffer


def main(run: Run) -> None:
    """Trains, and gives the weights that were best on the validation rows."""
    parameters = Images.model_validate(run.parameters)
    training = Training(run, parameters, look(run, parameters))
    training.resume()
    while training.epoch < parameters.epochs and not training.best.over:
        training.steps()
        training.validate()
    if run.first and run.final:
        training.finish()


class Training:
    """Where a training is: `epoch`, and `done` batches of it; `step` counts batches over all epochs."""

    def __init__(self, run: Run, parameters: Images, pictures: Pictures) -> None:
        self.run, self.parameters, self.pictures = run, parameters, pictures
        seeded(run)
        self.model = prepare(run, self._network(), parameters.strategy)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=parameters.weight_decay)
        self.best = Best(parameters.patience)
        self.step = self.epoch = self.done = 0
        if parameters.batch < run.world_size:
            words = f"{parameters.batch} pictures a step are fewer than the {run.world_size} workers"
            raise InvalidArgument([Violation('job.parameters["batch"]', words)])
        self.batch = parameters.batch // run.world_size
        per_epoch = math.ceil(pictures.labels.rows["train"] / (self.batch * run.world_size))
        self.total = per_epoch * parameters.epochs

    def _network(self) -> Network:
        pictures, asked = self.pictures, self.parameters
        return Network(
            pictures.shape,
            pictures.labels.count,
            width=asked.width,
            blocks=asked.blocks,
            dropout=asked.dropout,
            mean=torch.from_numpy(pictures.mean),
            deviation=torch.from_numpy(pictures.deviation),
        )

    def resume(self) -> None:
        """Goes on after the last checkpoint, if there is one."""
        if saved := self.run.resume():
            self.step, self.epoch, self.done = saved.step, saved.state["epoch"], saved.state["done"]
            load(self.model, self.optimizer, saved.state["training"])
            self.best.load(saved.state["best"])

    def steps(self) -> None:
        """What is left of the epoch."""
        self.model.train()
        for batch in self._batches():
            seeded(self.run, self.step + 1)
            loss = self._learn(*self._tensors(batch, fresh=True))
            self.step, self.done = self.step + 1, self.done + 1
            self.run.report(self.step, total=self.total, epoch=self.epoch, loss=float(loss.detach()))
            if self.run.due(self.step):
                self.run.checkpoint(self.step, self._state())

    def _batches(self) -> Iterator[Batch]:
        columns = [self.parameters.image, self.parameters.label]
        rows = self.run.rows(columns=columns, batch=self.batch, shuffle=SHUFFLE, epoch=self.epoch)
        return itertools.islice(rows, self.done, None)

    def _tensors(self, batch: Batch, fresh: bool = False) -> tuple[Tensor, Tensor]:
        pictures = torch.tensor(batch[self.parameters.image], dtype=torch.float32)
        if fresh and (self.parameters.shift or self.parameters.flip):
            shaped = pictures.reshape(-1, *self.pictures.shape)
            pictures = moved(shaped, self.parameters.shift, self.parameters.flip)
        labels = torch.from_numpy(self.pictures.labels.indices(batch[self.parameters.label]))
        return pictures.to(device()), labels.to(device())

    def _learn(self, pictures: Tensor, labels: Tensor) -> Tensor:
        set_rate(self.optimizer, self.parameters.learning_rate * warm_cosine(self.step, self.total))
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.model(pictures), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def _state(self) -> dict[str, object]:
        training = state(self.model, self.optimizer)
        return {"epoch": self.epoch, "done": self.done, "training": training, "best": self.best.state()}

    @torch.no_grad()
    def validate(self) -> None:
        """Ends the epoch: the figures on the validation rows, and whether they are the best."""
        self.model.eval()
        losses = right = torch.zeros((), dtype=torch.float64)
        count, mine = 0, len(range(self.run.rank, self.pictures.labels.rows["validation"], self.run.world_size))
        for batch in self.run.rows("validation", [self.parameters.image, self.parameters.label], batch=256):
            pictures, labels = self._tensors(batch)
            # All workers ask as often; a row that comes a second time, to make that so, does not count.
            logits, labels = self.model(pictures)[: mine - count], labels[: mine - count]
            losses = losses + functional.cross_entropy(logits, labels, reduction="sum").cpu().double()
            right = right + (logits.argmax(1) == labels).sum().cpu()
            count += len(labels)
        loss_sum, right_sum, rows = summed(self.run, losses, right, count)
        loss, accuracy = loss_sum / rows, right_sum / rows
        if not math.isfinite(loss):
            advice = f"the loss is {loss} after {self.step} steps: take a lower one"
            raise InvalidArgument([Violation('job.parameters["learning_rate"]', advice)])
        self.epoch, self.done = self.epoch + 1, 0
        if self.best.better(loss):
            self.best.weights = weights(self.model)
        self.run.report(self.step, total=self.total, epoch=self.epoch, val_loss=loss, val_accuracy=accuracy)

    def finish(self) -> None:
        """Rank 0: the best weights as ONNX."""
        network, asked = self._network(), self.parameters
        network.load_state_dict(dict(self.best.weights))
        example = torch.zeros(2, *self.pictures.given)
        folder = self.run.folder / "product"
        folder.mkdir()
        export(Served(network), [example], [asked.image], ["probabilities"], folder / "model.onnx")
        product = Product(
            folder,
            task="classification",
            inputs={asked.image: asked.image},
            target=asked.label,
            output="probabilities",
            classes=self.pictures.labels.names,
            description="A convolutional network that takes pictures in the unit of its training rows.",
            notes={"Training": {"epochs": self.epoch, "best val_loss": self.best.loss}},
        )
        self.run.finish(product)
