"""Reads a command line without knowing the program: options, `key=value` pairs, and what is left.

Only the program knows what its words mean (whether `--verbose data.csv` has a value is argparse's secret), so
the rules are few, the same for every program, and every value says at which word it was found:

    --lr 0.1   --lr=0.1   -x 3   -x=3   -j4    a value, when the next word is no option itself
    --flag                                     true; --no-flag is false
    key=value  +key=value  ++key=value         a value, as Hydra and make have it
    --                                         everything behind it is positional

An option that occurs again makes a list. Dashes inside a name become underscores, as in argparse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from gitrun.capture.facts import text_path

MAX_NUMBER_CHARS = 40
_NUMBER = r"[+-]?(?:[0-9]|\.[0-9]|inf\b|nan\b)"
_INT = r"[+-]?(?:0|[1-9][0-9]*)"
_FLOAT = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|nan|infinity)"
_OPTION = r"(--?)([A-Za-z_][^=\s]{0,255})(?:=(?s:(.*)))?"
_PAIR = r"[+~]{0,2}([A-Za-z_][A-Za-z0-9_.\-/@]{0,255})=(?s:(.*))"


class Words(NamedTuple):
    """Values by name, the index in the command line where each was found, and the positional words."""

    values: dict[str, Any]
    positions: dict[str, int]
    positional: list[str]


def read_words(argv: Sequence[bytes], start: int) -> Words:
    """The values in `argv[start:]`; positions count from the command's own first word."""
    words = Words({}, {}, [])
    at = start
    while at < len(argv):
        word = text_path(argv[at])
        if word == "--":
            words.positional.extend(text_path(rest) for rest in argv[at + 1 :])
            break
        option = re.fullmatch(_OPTION, word)
        if option:
            following = text_path(argv[at + 1]) if at + 1 < len(argv) else None
            at += _read_option(words, option, following, at)
        elif pair := re.fullmatch(_PAIR, word):
            _add(words, pair[1], scalar(pair[2]), at)
        else:
            words.positional.append(word)
        at += 1
    return words


def arguments_start(argv: Sequence[bytes], program_at: int, script_follows: bool) -> int:
    """The index of the first word meant for the program; for a Python behind the script, `-m module` or `-c code`."""
    at = program_at + 1
    if not script_follows:
        return at
    while at < len(argv):
        word = argv[at]
        code = re.fullmatch(rb"-[bBdEhiIOPqRsSuvVx]*[mc](.*)", word, re.DOTALL)
        if code:
            return at + (1 if code[1] else 2)  # `-mmodule`, or `-m module`
        if word in (b"-W", b"-X", b"--check-hash-based-pycs"):
            at += 2
        elif word.startswith(b"-") and word != b"-":
            at += 1
        else:
            return at + 1
    return at


def scalar(text: str) -> Any:
    """int, float (also nan and inf) or bool where the text is one in full, else the text; `007` stays text."""
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if len(text) > MAX_NUMBER_CHARS:
        return text
    if re.fullmatch(_INT, text):
        return int(text)
    if re.fullmatch(_FLOAT, text, re.IGNORECASE) and not re.fullmatch(r"[+-]?0[0-9]+", text):
        return float(text)
    return text


def _read_option(words: Words, option: re.Match[str], following: str | None, at: int) -> int:
    """Add one option; returns how many further words it took."""
    dashes, name, value = option[1], option[2], option[3]
    if value is not None:
        _add(words, _key(name), scalar(value), at)
        return 0
    short = re.fullmatch(r"([A-Za-z])([0-9]+(?:\.[0-9]+)?)", name) if dashes == "-" else None
    if short:
        _add(words, short[1], scalar(short[2]), at)
        return 0
    if following is not None and _is_value(following):
        _add(words, _key(name), scalar(following), at)
        return 1
    if dashes == "--" and name.startswith("no-") and len(name) > 3:
        _add(words, _key(name[3:]), False, at)
    else:
        _add(words, _key(name), True, at)
    return 0


def _is_value(word: str) -> bool:
    """Whether the word behind an option is its value: no option itself (negative numbers are none), no pair."""
    if word.startswith("-") and word != "-":
        return re.match(_NUMBER, word) is not None
    return re.fullmatch(_PAIR, word) is None


def _key(name: str) -> str:
    return name.replace("-", "_")


def _add(words: Words, key: str, value: Any, at: int) -> None:
    if key not in words.values:
        words.values[key] = value
        words.positions[key] = at
    elif isinstance(words.values[key], list):
        words.values[key].append(value)
    else:
        words.values[key] = [words.values[key], value]
