"""Training code that runs under BMASE, and unchanged without it.

    from bmase import training

    def main(run: training.Run) -> None:
        saved = run.resume()
        for step in range(saved.step if saved else 0, run.parameters["steps"]):
            ...
            run.report(step + 1, total=run.parameters["steps"], loss=loss)
            if run.due(step + 1):
                run.checkpoint(step + 1, {"model": model.state_dict()})
        run.finish(training.Product(folder, task="classification", inputs={"image": "image"}, target="label"))

    if __name__ == "__main__":
        training.local(main)          # python train.py --data rows.parquet --set steps=100

Under BMASE `main` is run once in each worker; what it needs of the platform it is given, and it imports nothing else.
"""

from __future__ import annotations

from bmase.training.local import LocalRun, local
from bmase.training.product import Cases, Product
from bmase.training.run import Batch, Column, Run, Saved, Source

__all__ = ["Batch", "Cases", "Column", "LocalRun", "Product", "Run", "Saved", "Source", "local"]
