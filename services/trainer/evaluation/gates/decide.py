"""From gates and an evaluation to what passed, what failed and why. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from services.trainer.evaluation.estimate import Better, Difference, Estimate
from services.trainer.evaluation.evaluate import Evaluation
from services.trainer.evaluation.gates import sentences
from services.trainer.evaluation.gates.gate import Answer, Decision, Demand, Gate, Outcome
from services.trainer.evaluation.gates.sentences import Held
from services.trainer.evaluation.slices import Skipped, Slice

_HOLDS: dict[Demand, Callable[[float, float], bool]] = {
    Demand.AT_LEAST: operator.ge,
    Demand.ABOVE: operator.gt,
    Demand.AT_MOST: operator.le,
    Demand.BELOW: operator.lt,
}


def decide(gates: Sequence[Gate], evaluation: Evaluation) -> Decision:
    """Every gate's answer. What could not be measured fails; only a missing stable version makes a gate not apply."""
    return Decision(tuple(_answer(gate, evaluation) for gate in gates))


def _answer(gate: Gate, evaluation: Evaluation) -> Answer:
    if gate.demand.against_stable and evaluation.comparison is None:
        if evaluation.not_compared:
            return _failed(gate, f"it could not be compared: {evaluation.not_compared}")
        sentence = "no version is stable yet, so there is nothing to compare with"
        return Answer(str(gate), Outcome.NOT_APPLICABLE, sentence)
    if gate.column:
        return _of_slices(gate, evaluation)
    figure, why = _whole(gate, evaluation)
    if figure is None:
        return _failed(gate, f"{gate.metric} could not be measured: {why}")
    held = hold(gate, figure, evaluation.setting.smallest, against=_against(evaluation))
    return _told(gate, held, sentences.of(held))


def _whole(gate: Gate, evaluation: Evaluation) -> tuple[Estimate | Difference | None, str]:
    if gate.demand.against_stable and evaluation.comparison is not None:
        compared = evaluation.comparison
        return compared.difference(gate.metric), compared.left_out.get(gate.metric, "it was not compared")
    return evaluation.estimate(gate.metric), evaluation.left_out.get(gate.metric, "it was not evaluated")


def _of_slices(gate: Gate, evaluation: Evaluation) -> Answer:
    """All of the column's slices, or the one that is named."""
    chosen = [each for each in evaluation.slices.found if each.column == gate.column] if evaluation.slices else []
    if gate.value is not None:
        named = [each for each in chosen if each.value == gate.value]
        if not named:
            return _failed(gate, sentences.no_such_slice(gate, chosen, evaluation.setting.smallest))
        chosen = named
    if not chosen:
        least = evaluation.setting.smallest
        return _failed(gate, f"no slice of {gate.column} has the {least} rows that it takes to look at one")
    figures = [(each, _part(gate, each)) for each in chosen]
    for each, figure in figures:
        if figure is None:
            why = each.left_out.get(gate.metric, "it was not evaluated there")
            return _failed(gate, f"{gate.metric} could not be measured on {each.name}: {why}", each.name)
    smallest, against = evaluation.setting.smallest, _against(evaluation)
    held = [hold(gate, figure, smallest, each.name, against) for each, figure in figures if figure is not None]
    worst = min(held, key=lambda one: (one.passed, one.room))
    sentence = sentences.of_slices(worst, sum(not one.passed for one in held), len(held))
    return _told(gate, worst, sentence + sentences.too_small(_skipped(gate, evaluation)))


def _skipped(gate: Gate, evaluation: Evaluation) -> Skipped | None:
    """Of a gate on all slices: the values that nothing can be said about."""
    skipped = evaluation.slices.skipped if evaluation.slices and gate.value is None else ()
    return next((each for each in skipped if each.column == gate.column), None)


def _part(gate: Gate, part: Slice) -> Estimate | Difference | None:
    look = part.look(gate.metric)
    if look is None:
        return None
    return look.difference if gate.demand.against_stable else look.estimate


def hold(gate: Gate, figure: Estimate | Difference, smallest: int, part: str = "", against: int = 0) -> Held:
    """The figure's safe end held against the gate's limit; what compares as nan does not pass."""
    demand, limit = _plain(gate, figure.better)
    upward = demand in (Demand.AT_LEAST, Demand.ABOVE)
    bound = figure.value if gate.point else figure.low if upward else figure.high
    enough = gate.point or figure.rows >= smallest
    return Held(
        figure=figure,
        demand=demand,
        limit=limit,
        bound=bound,
        point=gate.point,
        passed=enough and _HOLDS[demand](bound, limit),
        good=_HOLDS[demand](figure.value, limit),
        room=bound - limit if upward else limit - bound,
        needed=0 if enough else smallest,
        slice=part,
        against=against if gate.demand.against_stable else 0,
    )


def _plain(gate: Gate, better: Better) -> tuple[Demand, float]:
    """A test against the stable version is one of the difference, by which way is better."""
    up = better is Better.HIGHER
    match gate.demand:
        case Demand.NO_WORSE:
            return (Demand.AT_LEAST, 0.0 - gate.limit) if up else (Demand.AT_MOST, gate.limit)
        case Demand.BETTER:
            return (Demand.ABOVE, gate.limit) if up else (Demand.BELOW, 0.0 - gate.limit)
        case plain:
            return plain, gate.limit


def _against(evaluation: Evaluation) -> int:
    return evaluation.comparison.stable_version if evaluation.comparison else 0


def _failed(gate: Gate, sentence: str, part: str = "") -> Answer:
    return Answer(str(gate), Outcome.FAILED, sentence, slice=part)


def _told(gate: Gate, held: Held, sentence: str) -> Answer:
    outcome = Outcome.PASSED if held.passed else Outcome.FAILED
    return Answer(str(gate), outcome, sentence, held.figure.value, held.bound, held.limit, held.slice)
