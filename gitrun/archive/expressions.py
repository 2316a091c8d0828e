"""Expressions: which runs somebody means, such as `metrics.loss < 0.1 and config.lr == 0.01 and tag == "best"`.

    either     = both {"or" both}
    both       = condition {"and" condition}
    condition  = "not" condition | "(" either ")" | key [("==" | "!=" | "<" | "<=" | ">" | ">=" | "~") value]

A condition is answered for all runs at once: the column of its key goes in, the set of the runs that meet it comes
out, and `and`, `or`, `not` are what they are for sets. So ten thousand runs cost one pass over the columns that are
named, and nothing of what a user typed is ever executed, by Python or by a database.

A run that lacks a key meets no comparison with it, and so every `not` of one. Text equals text, a number a number; a
word without quotes may be either. `~` matches text against a pattern with `*` and `?`. Of a list (the tags of a run)
each member is asked; `!=` says that none is equal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

from gitrun.archive.keys import Key, Token, complaint, read_key, tokens
from gitrun.archive.literals import Literal, as_seconds, as_time

Columns = Callable[[Key], Mapping[str, Any]]  # the value of each run, by its id, that has the key
_MOST_NESTED = 50
_MOST_CHARACTERS = 10_000
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS = ("==", "!=", *_ORDER, "~")


class Condition(Protocol):
    """One node of a parsed expression."""

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        """Those of `runs` that meet it."""

    def keys(self) -> Iterable[Key]:
        """The keys it asks for."""


class Both(NamedTuple):
    """Both conditions hold."""

    left: Condition
    right: Condition

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        return self.right.among(self.left.among(runs, column), column)

    def keys(self) -> Iterable[Key]:
        return [*self.left.keys(), *self.right.keys()]


class Either(NamedTuple):
    """At least one of them holds."""

    left: Condition
    right: Condition

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        return self.left.among(runs, column) | self.right.among(runs, column)

    def keys(self) -> Iterable[Key]:
        return [*self.left.keys(), *self.right.keys()]


class Not(NamedTuple):
    """The condition does not hold."""

    inner: Condition

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        return runs - self.inner.among(runs, column)

    def keys(self) -> Iterable[Key]:
        return self.inner.keys()


class Has(NamedTuple):
    """A key alone: the run has it, and it is neither false nor empty."""

    key: Key

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        return runs.intersection(run for run, value in column(self.key).items() if value not in (None, False, "", []))

    def keys(self) -> Iterable[Key]:
        return [self.key]


class Test(NamedTuple):
    """A key compared with a value."""

    key: Key
    sign: str
    wanted: Literal

    def among(self, runs: frozenset[str], column: Columns) -> frozenset[str]:
        holds = _test(self.sign, self.wanted)
        return runs.intersection(run for run, value in column(self.key).items() if holds(value))

    def keys(self) -> Iterable[Key]:
        return [self.key]


def parse(text: str, now_s: float) -> Condition:
    """The condition that `text` means; times such as `-7d` count from `now_s`. Raises ExpressionError."""
    if len(text) > _MOST_CHARACTERS:
        raise complaint(text[:80], 0, f"an expression has at most {_MOST_CHARACTERS:,} characters")
    return _Parser(text, now_s).parse()


class _Parser:
    def __init__(self, text: str, now_s: float) -> None:
        self._text, self._now_s = text, now_s
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def parse(self) -> Condition:
        found = self._either()
        if self._next.kind != "end":
            wanted = "and, or, or the end" if self._next.kind != ")" else "no ) that was not opened"
            raise self._complaint(f"here goes {wanted}")
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() == word

    def _complaint(self, what: str) -> Exception:
        return complaint(self._text, self._next.at, what)

    def _either(self) -> Condition:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._complaint(f"nested more than {_MOST_NESTED} deep")
        found = self._both()
        while self._is_word("or"):
            self._at += 1
            found = Either(found, self._both())
        self._depth -= 1
        return found

    def _both(self) -> Condition:
        found = self._condition()
        while self._is_word("and"):
            self._at += 1
            found = Both(found, self._condition())
        return found

    def _condition(self) -> Condition:
        negated = False
        while self._is_word("not"):
            self._at += 1
            negated = not negated
        found = self._group() if self._next.kind == "(" else self._test()
        return Not(found) if negated else found

    def _group(self) -> Condition:
        opened = self._next
        self._at += 1
        found = self._either()
        if self._next.kind != ")":
            raise complaint(self._text, opened.at, "this ( is never closed")
        self._at += 1
        return found

    def _test(self) -> Condition:
        if self._next.kind not in ("word", "quoted") or any(map(self._is_word, ("and", "or"))):
            raise self._complaint("here goes a key, such as status, config.lr or metrics.loss")
        key, self._at = read_key(self._text, self._tokens, self._at)
        if self._next.kind != "sign":
            return Has(key)
        sign = self._next
        if sign.text not in _OPERATORS:
            raise self._complaint(f"to compare, write {' '.join(_OPERATORS)}")
        self._at += 1
        if self._next.kind not in ("word", "quoted"):
            raise self._complaint("here goes a value; text with spaces or signs in it is quoted")
        value = self._literal(key, sign.text)
        self._at += 1
        return Test(key, sign.text, value)

    def _literal(self, key: Key, sign: str) -> Literal:
        token = self._next
        if key.kind == "time":
            if sign not in _ORDER:
                raise complaint(self._text, token.at, "a time is compared with < <= > >=")
            time = as_time(token.text, self._now_s)
            if time is None:
                raise complaint(self._text, token.at, "a time is written 2026-11-24, 2026-11-24T06:12, -7d or -12h")
            return Literal(time, None)
        seconds = as_seconds(token.text) if key.kind == "seconds" else None
        return Literal(token.text, seconds) if seconds is not None else Literal.of(token.text, token.kind == "quoted")


def _test(sign: str, wanted: Literal) -> Callable[[Any], bool]:
    """Whether a value, or one of a list of values, meets a comparison."""
    if sign == "!=":
        equals = _test("==", wanted)
        return lambda value: not equals(value)
    if sign == "~":
        one: Callable[[Any], bool] = lambda value: fnmatchcase(_text(value), wanted.text)  # noqa: E731
    elif sign == "==":
        one = _equal_to(wanted)
    else:
        one = _ordered(_ORDER[sign], wanted)
    return lambda value: any(map(one, value)) if type(value) is list else one(value)


def _equal_to(wanted: Literal) -> Callable[[Any], bool]:
    text, number, word = wanted.text, wanted.number, "" if wanted.quoted else wanted.text.lower()
    is_nan = number != number  # of an integer that is no float math.isnan has no answer

    def equal(value: Any) -> bool:
        if type(value) is str:
            return bool(value == text)
        if value is None or type(value) is bool:
            return word in _WORDS[value]
        return bool(value == number) or (is_nan and value != value)

    return equal


def _ordered(order: Callable[[Any, Any], bool], wanted: Literal) -> Callable[[Any], bool]:
    text, number = wanted.text, wanted.number

    def ordered(value: Any) -> bool:
        if type(value) is float or type(value) is int:
            return number is not None and order(value, number)
        return type(value) is str and order(value, text)

    return ordered


def _text(value: Any) -> str:
    return value if type(value) is str else _WORDS[value][0] if value is None or type(value) is bool else str(value)


_WORDS: dict[Any, tuple[str, ...]] = {None: ("null", "none"), True: ("true",), False: ("false",)}
