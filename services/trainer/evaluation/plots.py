"""Pictures of an evaluation, as PNG. They need no display and leave matplotlib's global state alone."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from bmase.plots import CANDIDATE, DPI, LIMIT, STABLE
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn import metrics as sk

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Answers, Classification, Regression
from services.trainer.evaluation.calibration import Calibration
from services.trainer.evaluation.evaluate import Evaluation

SIDE = 5.2  # inches
WRITTEN_CLASSES, CURVES = 20, 10
POINTS, BARS = 5000, 40


def confusion(answers: Classification) -> bytes:
    """Rows are the truth, columns the answers; shades are shares of the truth's rows, numbers are counts."""
    count = int(max(answers.labels.max(), answers.predicted.max(), len(answers.classes) - 1)) + 1
    cells = sk.confusion_matrix(answers.labels, answers.predicted, labels=np.arange(count))
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if count <= WRITTEN_CLASSES:
        names = [answers.name_of(index) for index in range(count)]
        axes.set_xticks(range(count), names, rotation=45 if max(map(len, names)) > 3 else 0)
        axes.set_yticks(range(count), names)
        for (row, column), cell in np.ndenumerate(cells):
            if cell:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{cell}", ha="center", va="center", color=shade, fontsize=8)
    return _png(figure)


def reliability(found: Calibration) -> bytes:
    """Accuracy over confidence, with Wilson's intervals; below, how many rows each bin has."""
    figure = Figure(figsize=(SIDE, SIDE * 1.25), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidence, accuracy = (np.array([getattr(one, name) for one in found.bins]) for name in ("confidence", "accuracy"))
    ends = np.array([(one.accuracy - one.accuracy_low, one.accuracy_high - one.accuracy) for one in found.bins])
    above.plot((0, 1), (0, 1), color=LIMIT, lw=0.8, ls="--", label="calibrated")
    above.errorbar(confidence, accuracy, np.maximum(ends.T, 0), fmt="o-", ms=4, color=CANDIDATE, capsize=2)
    above.set(ylabel="share of right answers", ylim=(-0.02, 1.02), xlim=(0, 1))
    above.set_title(f"expected calibration error {found.ece:.4f}", fontsize=10)
    above.legend(frameon=False)
    widths = [one.high - one.low for one in found.bins]
    below.bar([one.low for one in found.bins], [one.rows for one in found.bins], widths, align="edge", color=STABLE)
    below.set(xlabel="confidence", ylabel="rows", yscale="log")
    _bare(above, below)
    return _png(figure)


def roc(answers: Classification) -> bytes:
    """Of the second of two classes, or of each class against the rest (the ten with most rows)."""
    probabilities = answers.probabilities
    if probabilities is None:
        raise InvalidArgument([Violation("probabilities", "a ROC curve needs them; the answers are classes alone")])
    figure, axes = _figure()
    axes.plot((0, 1), (0, 1), color=LIMIT, lw=0.8, ls="--")
    rows = np.bincount(answers.labels, minlength=probabilities.shape[1])
    columns = [1] if len(rows) == 2 else sorted(np.argsort(-rows, kind="stable")[:CURVES])
    for column in columns:
        positive = answers.labels == column
        if 0 < positive.sum() < answers.rows:
            false, true, _ = sk.roc_curve(positive, probabilities[:, column])
            area = sk.auc(false, true)
            axes.plot(false, true, lw=1.2, label=f"{answers.name_of(int(column))}: {area:.4f}")
    axes.set(xlabel="share of others taken for it", ylabel="share found", xlim=(0, 1), ylim=(0, 1.01))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, title="area under the curve")
    _bare(axes)
    return _png(figure)


def residuals(answers: Regression) -> bytes:
    """Target minus prediction over the prediction; of many rows every so many-th, which keeps the picture small."""
    step = -(-answers.rows // POINTS)
    predicted, rest = answers.predicted[::step], (answers.targets - answers.predicted)[::step]
    figure = Figure(figsize=(SIDE * 1.4, SIDE * 0.9), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    left.axhline(0, color=LIMIT, lw=0.8, ls="--")
    left.plot(predicted, rest, ".", ms=3, alpha=0.5, color=CANDIDATE)
    left.set(xlabel="predicted", ylabel="target minus predicted")
    right.hist(rest, bins=40, orientation="horizontal", color=STABLE)
    right.set_xlabel("rows")
    _bare(left, right)
    return _png(figure)


def forest(evaluation: Evaluation, metric: str) -> bytes:
    """Every slice's value with its wide interval, beside the whole's; the worst first, up to forty."""
    whole = evaluation.estimate(metric)
    found = [(each, each.look(metric)) for each in evaluation.slices.found] if evaluation.slices else []
    looks = [(each, look) for each, look in found if look is not None]
    if whole is None or not looks:
        raise InvalidArgument([Violation("metric", f"no slice was looked at by {metric}")])
    sign = 1 if whole.better == "higher" else -1
    looks.sort(key=lambda pair: sign * pair[1].estimate.value)
    looks = looks[:BARS]
    figure = Figure(figsize=(SIDE * 1.3, 1.2 + 0.25 * len(looks)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.axvspan(whole.low, whole.high, color=STABLE, alpha=0.2)
    axes.axvline(whole.value, color=STABLE, lw=1)
    for place, (_, look) in enumerate(looks):
        colour = LIMIT if look.worse else CANDIDATE
        value = look.estimate.value
        ends = [end if np.isfinite(end) else value for end in (look.wide.low, look.wide.high)]
        axes.plot(ends, (place, place), color=colour, lw=1.2)
        axes.plot(value, place, "o", ms=4, color=colour)
    axes.set_yticks(range(len(looks)), [f"{each.name} ({each.rows:,})" for each, _ in looks], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"{metric} (line and band: all rows; red: worse than on all rows)")
    _bare(axes)
    return _png(figure)


def pictures(answers: Answers, evaluation: Evaluation) -> dict[str, bytes]:
    """All that fit the task, by the name of the file they are kept as."""
    found: dict[str, bytes] = {}
    if isinstance(answers, Classification):
        found["confusion.png"] = confusion(answers)
        if evaluation.calibration is not None:
            found["reliability.png"] = reliability(evaluation.calibration)
            found["roc.png"] = roc(answers)
    if isinstance(answers, Regression):
        found["residuals.png"] = residuals(answers)
    if evaluation.slices is not None and evaluation.slices.found:
        looks = evaluation.slices.found[0].looks
        if looks:
            found["slices.png"] = forest(evaluation, looks[0].estimate.metric)
    return found


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(SIDE, SIDE), dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def _bare(*each: Any) -> None:
    for axes in each:
        axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    """The same bytes for the same picture: no date, no program's version."""
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": None})
    return target.getvalue()
