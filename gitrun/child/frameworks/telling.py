"""Turns what a framework parsed into a frame of the report, and never lets a mistake of gitrun's reach the program."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from gitrun.child.frameworks import program
from gitrun.child.frameworks.values import Flat

MAX_FRAMES = 200  # of one framework in one process; a server may parse for each request
MAX_WORDS = 1000
MAX_WORDS_BYTES = 64 << 10


class Told:
    """One configuration: how it was parsed, by whom, and each value with its default and source."""

    def __init__(self, role: str, caller: program.Caller, name: str | None = None) -> None:
        self.role = role
        self.program = name or (caller.name if role == program.LAUNCHER else caller.program)
        self.files: list[bytes] = []
        self.notes: list[str] = []
        self.sweep: str | None = None  # the directory of the sweep that this is a job of
        self.rest: list[int] = []
        self.sources: dict[str, str] = {}
        self.words: dict[str, int] = {}
        self.argv = [word for word in sys.argv if isinstance(word, str)]
        self._at = list(range(1, len(self.argv)))
        self._values, self._defaults = Flat(), Flat()

    def add(
        self,
        name: str,
        value: Any,
        source: str,
        *,
        default: Any = None,
        has_default: bool = False,
        word: int | None = None,
    ) -> None:
        """Adds a value; `word` is the index in `sys.argv` of the word that gave it."""
        before = len(self._values.values)
        self._values.add(name, value)
        for key in list(self._values.values)[before:] or [name]:
            if key in self._values.values:
                self.sources[key] = source
                if word is not None:
                    self.words[key] = word
        if has_default:
            self._defaults.add(name, default)

    def unresolved(self, name: str) -> None:
        """Marks a value of which only the written form is known."""
        self._values.unserialisable.append(name)

    def parsed(self, words: Any) -> None:
        """Limits what `word_of` looks at to the words that the parser was given, where it was given some."""
        if isinstance(words, (list, tuple)):
            self._at = self.places(words)

    def places(self, words: Any) -> list[int]:
        """Where these words stand in the command line; the last of them last."""
        found: list[int] = []
        at = len(self.argv)
        for word in reversed(words if isinstance(words, (list, tuple)) else []):
            before = [index for index in range(1, at) if self.argv[index] == word]
            if before:
                at = before[-1]
                found.append(at)
        return found[::-1]

    def word_of(self, options: list[str], prefixes: bool = True) -> int | None:
        """The index of the last word of the command line that is one of these options, or one with its value."""
        found = None
        for index in self._at:
            word = self.argv[index]
            if word == "--":
                break
            if word[:1] not in ("-", "+", "/") or len(word) > MAX_WORDS_BYTES:
                continue
            name = word.partition("=")[0]
            for option in options:
                joined = len(option) == 2 and word[:2] == option and option[1] != "-"
                shortened = prefixes and len(name) > 3 and name[:2] == "--" and option.startswith(name)
                if name == option or joined or shortened:
                    found = index
        return found

    def hide(self, value: Any, instead: str) -> None:
        """Replaces a value that the program asked for without showing it, in the words as well."""
        if isinstance(value, str) and value:
            self.argv = [word.replace(value, instead) for word in self.argv]

    def frame(self, framework: str) -> dict[str, Any]:
        """The frame `config`."""
        if self._values.left_out:
            self.notes.append("more values than a report holds; the first ones were kept")
        argv = [os.fsencode(word) for word in self.argv[:MAX_WORDS]]
        if len(self.argv) > MAX_WORDS or sum(map(len, argv)) > MAX_WORDS_BYTES:
            argv = []
        frame = {
            "kind": "config",
            "framework": framework,
            "program": self.program,
            "role": self.role,
            "values": self._values.values,
            "defaults": {name: value for name, value in self._defaults.values.items() if name in self._values.values},
            "sources": self.sources,
            "words": self.words,
            "rest": self.rest,
            "argv": argv,
            "files": self.files,
            "unserialisable": self._values.unserialisable,
            "notes": self.notes,
        }
        return {**frame, "sweep": os.fsencode(self.sweep)} if self.sweep else frame


class Teller:
    """Calls a description where a framework has parsed, and reports what comes of it."""

    def __init__(
        self, framework: str, report: Callable[[dict[str, Any]], None], describe: Callable[..., Told | None]
    ) -> None:
        self._framework, self._report, self._describe = framework, report, describe
        self._left = MAX_FRAMES
        self._last: Any = None
        self._failed = False

    def returned(self, value: Any, *given: Any) -> Any:
        """For `splice.at_return`."""
        self.passed(value, *given)
        return value

    def passed(self, *given: Any) -> None:
        """For `splice.at_start` and `splice.after`."""
        if self._left <= 0:
            return
        try:
            told = self._describe(*given)
            if told is not None:
                frame = told.frame(self._framework)
                if frame != self._last:
                    self._last = frame
                    self._left -= 1
                    if not self._left:
                        frame["notes"].append("parsed again and again; from here on nothing was reported")
                    self._report(frame)
        except Exception as problem:  # the program goes on as if nobody had looked
            self._give_up(problem)

    def _give_up(self, problem: Exception) -> None:
        """Says once, and only once, that something was not observed."""
        if self._failed:
            return
        self._failed = True
        trace = problem.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
        not_observed(self._framework, self._report, type(problem).__name__ + where)


def not_observed(framework: str, report: Callable[[dict[str, Any]], None], why: str) -> None:
    """Reports that the values of a framework are not known."""
    try:
        report({"kind": "problem", "text": f"{framework}: its values were not observed ({why})"})
    except Exception:  # noqa: S110  nothing is left that could say so
        pass


def observe(framework: str, report: Callable[[dict[str, Any]], None], add: Callable[[], None]) -> None:
    """Runs `add`, which adds the line to the framework."""
    try:
        add()
    except Exception as problem:  # another release than those known: the program is not touched
        words = str(problem) or type(problem).__name__
        not_observed(framework, report, words[:200])


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same as far as a report can tell; no code of the user's compares them."""
    if one is other:
        return True
    if type(one) is not type(other) or type(one) not in (str, int, float, bool, bytes, list, tuple, dict):
        return False
    first, second = Flat(), Flat()
    first.add("", one)
    second.add("", other)
    return first.values == second.values
