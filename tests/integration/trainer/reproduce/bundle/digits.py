"""Code as a user brings it: a small network of scikit-learn, which needs no torch and so little of an environment."""

from __future__ import annotations

import numpy as np
from bmase.training import Product, Run


def main(run: Run) -> None:
    from skl2onnx import to_onnx  # noqa: PLC0415 - as late as a user may import
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415

    rows = run.table("train", ["image", "label"])
    images, labels = np.asarray(rows["image"], np.float32), rows["label"]
    net = MLPClassifier((int(run.parameters["width"]),), batch_size=64, random_state=np.random.RandomState(run.seed))
    for step in range(1, int(run.parameters["steps"]) + 1):
        net.partial_fit(images, labels, classes=np.arange(10))
        run.report(step, loss=float(net.loss_))
    folder = run.folder / "product"
    folder.mkdir()
    model = to_onnx(net, images[:1], options={"zipmap": False}, name="digits")
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    run.finish(Product(folder, task="classification", inputs={"X": "image"}, target="label", output="probabilities"))
