"""Training code that comes with BMASE, each under a name that jobs ask for.

Each is a package with the same parts, of which only the first is imported by the service:

    recipe.py   the parameters (pydantic, no heavy import) and RECIPE, which `catalogue` lists; `main` is named as text
    train.py    main(run), run by jobs: reads `Parameters.model_validate(run.parameters)`, ends in `run.finish`
    model.py    the network, or whatever is fitted

and from beside them: `schedule` (learning rates), `stopping` (early stopping), `export` (ONNX that is the same bytes
for the same weights), `bmase.training.torch` (workers, checkpoints, seeds). What every `main` keeps to:

- chance is decided by `run.seed` alone, so the same job gives the same bytes: order by `run.rows(shuffle, epoch)`,
  dropout and initial weights by `seeded(run, step)`, threads by `run.threads`;
- `run.due` is asked once a step, after it; a checkpoint holds weights, optimiser, epoch, batch within it and what early
  stopping remembers, so that what follows is the same as without a stop;
- `batch` is that of all workers together;
- `val_loss` and its like are reported once an epoch, `loss` at each step.
"""
