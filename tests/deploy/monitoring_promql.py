"""What an expression of PromQL names: its metrics, their labels and values, and what is grouped by.

Owns: the words of the language, as far as our rules and panels use them. It does not judge types or
brackets; Prometheus itself does that, where it is installed. Must never: pass over a word that it
does not know, for that would be a name that nobody checks.
"""

import re
from typing import NamedTuple

FUNCTIONS = {
    "absent", "changes", "clamp_max", "clamp_min", "delta", "histogram_quantile", "increase",
    "max_over_time", "rate", "time", "vector",
}  # fmt: skip
AGGREGATIONS = {"avg", "count", "max", "min", "sum", "topk"}
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "bool"}

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<range>\[[^\]]*\])
      | (?P<duration>\d+(?:ms|[smhdwy])\b)
      | (?P<number>\d[\d.]*(?:e\d+)?)
      | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/^(){},<>=])""",
    re.VERBOSE,
)


class PromqlError(Exception):
    """An expression that is not understood here."""


class Matcher(NamedTuple):
    """One condition of a selector."""

    label: str
    sign: str
    value: str


class Selector(NamedTuple):
    """One metric where it is named: its conditions, its range, and the function around it."""

    metric: str
    matchers: tuple[Matcher, ...]
    range: str
    function: str
    end: int  # where its name ends in the text

    @property
    def labels(self) -> set[str]:
        """Those that it has conditions on."""
        return {matcher.label for matcher in self.matchers}


class Named(NamedTuple):
    """All that an expression names."""

    selectors: tuple[Selector, ...]
    groupings: tuple[tuple[str, ...], ...]  # the labels behind each `by`, `on` …


class _Token(NamedTuple):
    kind: str
    text: str
    end: int


def _tokens(expression: str) -> list[_Token]:
    found, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise PromqlError(f"not understood: {expression[at : at + 20]!r}")
        at = match.end()
        assert match.lastgroup is not None
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup, match.group(), at))
    return found


class _Reader:
    """Walks over the tokens of one expression."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._at = 0
        self._around: list[str] = []  # functions and aggregations that are open, "" for a bracket
        self._selectors: list[Selector] = []
        self._groupings: list[tuple[str, ...]] = []

    def read(self) -> Named:
        """Everything that is named."""
        while self._at < len(self._tokens):
            token = self._take()
            if token.kind == "word":
                self._word(token)
            elif token.text == "(":
                self._around.append("")
            elif token.text == ")":
                if not self._around:
                    raise PromqlError("a bracket too many")
                self._around.pop()
            elif token.text in "{}" or token.kind in ("text", "range", "duration"):
                raise PromqlError(f"out of place: {token.text}")
        if self._around:
            raise PromqlError("a bracket is open")
        return Named(tuple(self._selectors), tuple(self._groupings))

    def _take(self, *wanted: str) -> _Token:
        if self._at == len(self._tokens):
            raise PromqlError("it ends too early")
        token = self._tokens[self._at]
        if wanted and token.text not in wanted and token.kind not in wanted:
            raise PromqlError(f"{token.text!r} where {' or '.join(wanted)} should be")
        self._at += 1
        return token

    def _next_is(self, text: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at].text == text

    def _word(self, token: _Token) -> None:
        if token.text in OPERATORS:
            return
        if token.text in GROUPINGS:
            self._groupings.append(tuple(self._labels()))
        elif token.text in AGGREGATIONS:
            if not self._next_is("("):
                self._word(self._take(*GROUPINGS))
            self._take("(")
            self._around.append(token.text)
        elif self._next_is("("):
            if token.text not in FUNCTIONS:
                raise PromqlError(f"a function that is not listed: {token.text}")
            self._take()
            self._around.append(token.text)
        else:
            self._selector(token)

    def _labels(self) -> list[str]:
        self._take("(")
        found: list[str] = []
        while not self._next_is(")"):
            found.append(self._take("word").text)
            if not self._next_is(")"):
                self._take(",")
        self._take(")")
        return found

    def _selector(self, name: _Token) -> None:
        matchers: list[Matcher] = []
        if self._next_is("{"):
            self._take()
            while not self._next_is("}"):
                label = self._take("word").text
                sign = self._take("=", "=~", "!=", "!~").text
                matchers.append(Matcher(label, sign, self._take("text").text[1:-1]))
                if not self._next_is("}"):
                    self._take(",")
            self._take("}")
        ranged = self._at < len(self._tokens) and self._tokens[self._at].kind == "range"
        text = self._take().text[1:-1] if ranged else ""
        if self._next_is("offset"):
            self._take()
            self._take("duration")
        around = self._around[-1] if self._around else ""
        self._selectors.append(Selector(name.text, tuple(matchers), text, around, name.end))


def named(expression: str) -> Named:
    """What this expression names. Raises PromqlError."""
    return _Reader(expression).read()


def narrowed(expression: str, condition: str, *leave: str) -> str:
    """The expression with one more condition on every metric but those in `leave`."""
    for selector in reversed(named(expression).selectors):
        if selector.metric in leave:
            continue
        head, tail = expression[: selector.end], expression[selector.end :]
        if tail.startswith("{"):
            more = "" if tail.startswith("{}") else ","
            expression = f"{head}{{{condition}{more}{tail[1:]}"
        else:
            expression = f"{head}{{{condition}}}{tail}"
    return expression
