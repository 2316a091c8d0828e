"""What a spoiled case is: a result of a run, the same thing spoiled, and what a verdict has to say of the two.

The expectation stands beside the spoiling, in words that a person can check without running anything: the table in
docs/spoiled-cases.md is made of nothing else, and everything that judges a case is held against it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

BIT, SEMANTIC, TOLERANCE, DIFFERS, UNVERIFIABLE = "bit", "semantic", "tolerance", "differs", "unverifiable"
EXITS = {BIT: 0, SEMANTIC: 3, TOLERANCE: 3, DIFFERS: 3, UNVERIFIABLE: 4}

# How the first cause begins where nothing else is expected.
NOTHING = "nothing that was recorded differs"
AROUND = "the values are the same, what is around them is not"
NAMES = "names that vary from run to run"
_CAUSES = {BIT: "", SEMANTIC: AROUND, TOLERANCE: NOTHING, DIFFERS: NOTHING, UNVERIFIABLE: "not compared: "}


class File(NamedTuple):
    """A file that a program leaves."""

    data: bytes
    mode: int = 0o644


class Link(NamedTuple):
    """A link that it leaves."""

    target: str


Node = File | Link | bytes
Tree = Mapping[str, Node]


class Point(NamedTuple):
    """One value that it logs, bit for bit."""

    name: str
    step: int
    value: float | bytes

    @property
    def bits(self) -> bytes:
        """The value as a little-endian float64."""
        return self.value if isinstance(self.value, bytes) else struct.pack("<d", self.value)


class Case(NamedTuple):
    """A case and what has to come of it.

    `was` and `now` are what the run and the replay leave, `points` and `now_points` what they log, `end` and `now_end`
    the last words of their shell script. `facts` and `now_facts` replace values of the two records (`record`,
    `environment`, `hardware`, `config`, `lines`: further lines of artifacts.jsonl); with these, no program is run.
    `cause` is in the first cause; `told` in what is said of the part that differs.
    """

    group: str
    name: str
    verdict: str
    exit: int
    cause: str
    told: str = ""
    was: Mapping[str, Node] = {}
    now: Mapping[str, Node] = {}
    points: tuple[Point, ...] = ()
    now_points: tuple[Point, ...] = ()
    end: str = ""
    now_end: str = ""
    facts: Mapping[str, Any] = {}
    now_facts: Mapping[str, Any] = {}
    options: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """A name for its directory and its metrics."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.group} {self.name}".lower()).strip("-")

    @property
    def has_process(self) -> bool:
        """Whether it can be spoiled by a program that runs."""
        return not self.facts and not self.now_facts


def case(
    group: str, name: str, verdict: str, cause: str | None = None, *, exit: int | None = None, **more: Any
) -> Case:
    """A case; the usual cause and exit status of its verdict where none is said."""
    cause = _CAUSES[verdict] if cause is None else cause
    return Case(group, name, verdict, EXITS[verdict] if exit is None else exit, cause, **more)


def one(
    group: str, name: str, path: str, was: bytes, now: bytes, verdict: str, cause: str | None = None, **more: Any
) -> Case:
    """A file whose content is spoiled."""
    return case(group, name, verdict, cause, was={path: was}, now={path: now}, **more)


def problem_of(expected: Case, code: int, verdict: Mapping[str, Any]) -> str | None:
    """What is wrong with a verdict on a case, None where it is right."""
    first = next(iter(verdict["causes"]), "")
    parts = [*verdict["outputs"], *verdict["metrics"]]
    told = [each["detail"] for each in parts if each["level"] != BIT] + list(verdict["compared"]["not_compared"])
    found = []
    if verdict["verdict"] != expected.verdict:
        found.append(f"verdict {verdict['verdict']} instead of {expected.verdict}")
    if code != expected.exit:
        found.append(f"exit {code} instead of {expected.exit}")
    if expected.cause not in first or (not expected.cause and verdict["causes"] != verdict["notes"]):
        found.append(f"first cause {first!r} instead of {expected.cause!r}")
    if expected.told and not any(expected.told in text for text in told):
        found.append(f"told {told!r} instead of {expected.told!r}")
    return f"{expected.group}: {expected.name}: {'; '.join(found)}" if found else None
