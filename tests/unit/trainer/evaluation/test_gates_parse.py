"""What is a gate, and where what is none stops being one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.gates.gate import Demand, Gate
from services.trainer.evaluation.gates.parse import LONGEST, parse, parse_all


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("accuracy >= 0.95", Gate("accuracy", Demand.AT_LEAST, 0.95)),
        ("accuracy>=95%", Gate("accuracy", Demand.AT_LEAST, 0.95)),
        ("  ece   <=\t.05 ", Gate("ece", Demand.AT_MOST, 0.05)),
        ("log_loss < 1e-3", Gate("log_loss", Demand.BELOW, 0.001)),
        ("r2 > -0.5", Gate("r2", Demand.ABOVE, -0.5)),
        ("ndcg@10 >= 0.3", Gate("ndcg@10", Demand.AT_LEAST, 0.3)),
        ("point accuracy >= 0.95", Gate("accuracy", Demand.AT_LEAST, 0.95, point=True)),
        ("accuracy no worse than stable by 0.01", Gate("accuracy", Demand.NO_WORSE, 0.01)),
        ("accuracy better than stable", Gate("accuracy", Demand.BETTER, 0.0)),
        ("accuracy better than stable by 1%", Gate("accuracy", Demand.BETTER, 0.01)),
        ("slice(label) accuracy >= 0.8", Gate("accuracy", Demand.AT_LEAST, 0.8, "label")),
        ("slice( label = 3 ) accuracy >= 0.8", Gate("accuracy", Demand.AT_LEAST, 0.8, "label", "3")),
        ("slice(land=DE) mae <= 2", Gate("mae", Demand.AT_MOST, 2.0, "land", "DE")),
        ('slice("my column"="a \\"b\\" \\\\") mae <= 2', Gate("mae", Demand.AT_MOST, 2.0, "my column", 'a "b" \\')),
        (
            'point slice(age="18 to 30") accuracy no worse than stable by 0.05',
            Gate("accuracy", Demand.NO_WORSE, 0.05, "age", "18 to 30", True),
        ),
    ],
)
def test_understood(text: str, gate: Gate) -> None:
    assert parse(text) == gate


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 1, "the end stands where the name of a metric belongs"),
        ("accuracy", 9, "the end stands where '>=', '>', '<=', '<', 'no worse"),
        ("acuracy >= 0.9", 1, "there is no metric 'acuracy'; did you mean accuracy?"),
        ("point acuracy >= 0.9", 7, "there is no metric"),
        ("accuracy >= high", 13, "'high' stands where a number belongs"),
        ("accuracy >=", 12, "the end stands where a number belongs"),
        ("accuracy = 0.9", 10, "'=' stands where '>='"),
        ("accuracy >= 0.9 0.8", 17, "'0.8' stands where the end of the gate belongs"),
        ("accuracy >= 0.9.1", 13, "what is '0.9.1'?"),
        ("accuracy >= 0.9abc", 13, "what is '0.9abc'?"),
        ("accuracy >= nan", 13, "'nan' stands where a number belongs"),
        ("accuracy >= 1e999", 13, "1e999 is too large"),
        ("accuracy ! 0.9", 10, "what is '! 0.9'?"),
        ("accuracy no worse than stable", 30, "'by' and a margin"),
        ("accuracy no better than stable by 1", 13, "'better' stands where 'worse' belongs"),
        ("accuracy no worse than latest by 1", 24, "'latest' stands where 'stable' belongs"),
        ("accuracy no worse than stable by -0.01", 34, "a margin is not negative: 0.01?"),
        ("slice label accuracy >= 1", 7, "'label' stands where '(' belongs"),
        ("slice() accuracy >= 1", 7, "')' stands where the name of a column belongs"),
        ('slice("") accuracy >= 1', 7, "the name of a column is empty"),
        ("slice(label=) accuracy >= 1", 13, "')' stands where a value of the column belongs"),
        ("slice(label accuracy >= 1", 13, "'accuracy' stands where ')' belongs"),
        ('slice(label="DE) accuracy >= 1', 13, "the quotation mark is not closed"),
        ("slice(label) slice(x) accuracy >= 1", 14, "there is no metric 'slice'"),
        ("0.9 <= accuracy", 1, "'0.9' stands where the name of a metric belongs"),
        ("accuracy >= 0.9" + " " * LONGEST, LONGEST + 1, f"at most {LONGEST} characters"),
    ],
)
def test_refused_at_the_character(text: str, at: int, says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse(text)
    (violation,) = refused.value.violations
    assert violation.field == "gate"
    assert violation.description.startswith(f"at character {at}: ")
    assert says in violation.description


def test_each_bad_gate_of_many_is_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_all(["accuracy >= 1", "accuracy >=", "ece <= 0.1", "?"])
    assert [each.field for each in refused.value.violations] == ["gates[1]", "gates[3]"]
    with pytest.raises(InvalidArgument, match="101 are too many"):
        parse_all(["accuracy >= 1"] * 101)


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(
    metric=st.sampled_from(["accuracy", "log_loss", "hit@7"]),
    demand=st.sampled_from(Demand),
    limit=finite,
    column=st.one_of(st.just(""), texts),
    value=st.one_of(st.none(), texts),
    point=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_gate_is_read_back_as_it_is_written(
    metric: str, demand: Demand, limit: float, column: str, value: str | None, point: bool
) -> None:
    limit = abs(limit) if demand.against_stable else limit
    gate = Gate(metric, demand, limit, column, value if column else None, point)
    assert parse(str(gate)) == gate
    assert Gate.from_json(gate.to_json()) == gate


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_gate_or_an_invalid_argument(text: str) -> None:
    try:
        gate = parse(text)
    except InvalidArgument:
        return
    assert parse(str(gate)) == gate
