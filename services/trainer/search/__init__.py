"""Search for a recipe's parameters within one job: trials by Optuna, then the training with the best.

    own, wish = take(job.parameters, recipe.parameters)      light: no Optuna; what is wrong is named by its field
    searching.train(run, main, wish)                         in each worker, instead of main(run)

`searching` is not imported here: a service that checks jobs loads nothing heavy.
"""

from __future__ import annotations

from services.trainer.search.wish import KEY, Choices, Range, Wish, take

__all__ = ["KEY", "Choices", "Range", "Wish", "take"]
