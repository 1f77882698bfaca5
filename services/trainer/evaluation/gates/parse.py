"""From the text of a gate to the gate, or to the character where it stops making sense. Pure.

gate   = ["point"] ["slice" "(" name ["=" value] ")"] metric demand
demand = (">=" | ">" | "<=" | "<") number
       | "no" "worse" "than" "stable" "by" number
       | "better" "than" "stable" ["by" number]
value  = word | number | text in quotation marks, with \\" and \\\\ inside
number = a decimal, also with an exponent or a % behind it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.gates.gate import WORD, Demand, Gate
from services.trainer.evaluation.metrics.catalogue import by_name

LONGEST = 200
MOST = 100
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?(?![\w@.%]))"
    rf"|(?P<word>{WORD})"
    r'|(?P<text>"(?:[^"\\]|\\["\\])*")'
    r"|(?P<sign>>=|<=|>|<|=|\(|\))"
)
_SIGNS = {each.value: each for each in (Demand.AT_LEAST, Demand.ABOVE, Demand.AT_MOST, Demand.BELOW)}
_END = "end"


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int  # the first character is 1

    def __str__(self) -> str:
        return "the end" if self.kind == _END else repr(self.text)


class _Stuck(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at}: {message}")


def parse_all(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Every gate; InvalidArgument has a violation for each that is not one."""
    if len(texts) > MOST:
        raise InvalidArgument([Violation("gates", f"{len(texts)} are too many; {MOST} are the most")])
    gates, broken = [], []
    for place, text in enumerate(texts):
        try:
            gates.append(_Reader(_tokens(text)).gate())
        except _Stuck as stuck:
            broken.append(Violation(f"gates[{place}]", str(stuck)))
    if broken:
        raise InvalidArgument(broken)
    return tuple(gates)


def parse(text: str) -> Gate:
    """One gate; InvalidArgument says at which character it is none, and what could stand there."""
    try:
        return _Reader(_tokens(text)).gate()
    except _Stuck as stuck:
        raise InvalidArgument([Violation("gate", str(stuck))]) from None


def _tokens(text: str) -> list[Token]:
    if len(text) > LONGEST:
        raise _Stuck(LONGEST + 1, f"a gate has at most {LONGEST} characters")
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            unclosed = text[at] == '"'
            raise _Stuck(at + 1, "the quotation mark is not closed" if unclosed else f"what is {text[at : at + 8]!r}?")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at + 1))
        at = match.end()
    return [*found, Token(_END, "", len(text) + 1)]


class _Reader:
    """Goes through the tokens once, from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def gate(self) -> Gate:
        point = self._take("point")
        column, value = self._slice()
        metric = self._metric()
        demand, limit = self._demand()
        if self._here.kind != _END:
            raise self._stuck("the end of the gate")
        return Gate(metric, demand, limit, column, value, point)

    def _slice(self) -> tuple[str, str | None]:
        if not self._take("slice"):
            return "", None
        self._need("(")
        column = self._of("word", "text", what="the name of a column")
        value = self._of("word", "text", "number", what="a value of the column") if self._take("=") else None
        self._need(")")
        if not column:
            raise _Stuck(self._tokens[self._next - 2].at, "the name of a column is empty")
        return column, value

    def _metric(self) -> str:
        token = self._here
        name = self._of("word", what="the name of a metric")
        try:
            return by_name(name).name
        except InvalidArgument as unknown:
            raise _Stuck(token.at, unknown.violations[0].description) from None

    def _demand(self) -> tuple[Demand, float]:
        if self._here.text in _SIGNS and self._here.kind == "sign":
            return _SIGNS[self._step().text], self._number()
        if self._take("no"):
            for word in ("worse", "than", "stable"):
                self._need(word)
            if not self._take("by"):
                raise self._stuck("'by' and a margin: no number of rows shows that nothing at all is lost")
            return Demand.NO_WORSE, self._margin()
        if self._take("better"):
            self._need("than")
            self._need("stable")
            return Demand.BETTER, self._margin() if self._take("by") else 0.0
        raise self._stuck("'>=', '>', '<=', '<', 'no worse than stable by' or 'better than stable'")

    def _margin(self) -> float:
        at = self._here.at
        margin = self._number()
        if margin < 0:
            raise _Stuck(at, f"a margin is not negative: {-margin:g}?")
        return margin

    def _number(self) -> float:
        at = self._here.at
        text = self._of("number", what="a number")
        number = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
        if abs(number) == float("inf"):
            raise _Stuck(at, f"{text} is too large")
        return number

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _step(self) -> Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, text: str) -> bool:
        if self._here.kind == "text" or self._here.text != text:
            return False
        self._next += 1
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._stuck(repr(text))

    def _of(self, *kinds: str, what: str) -> str:
        if self._here.kind not in kinds:
            raise self._stuck(what)
        token = self._step()
        return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "text" else token.text

    def _stuck(self, expected: str) -> _Stuck:
        return _Stuck(self._here.at, f"{self._here} stands where {expected} belongs")
