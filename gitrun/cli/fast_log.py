"""`gitrun log` without typer: one point from a shell script, or a program in a language that has no gitrun.

It may be called in a loop, so nothing is imported here that would take longer than Python itself to start. What it
writes goes to one file of the run that all such calls share, as a point that names its metrics.
"""

import os
import time

from gitrun.child import points
from gitrun.child.journal import append_shared
from gitrun.child.running import member, tell
from gitrun.errors import UsageError

SUMMARY = "Log metrics of the run that this command is part of."
HELP = f"""Usage: gitrun log KEY=VALUE... [--step N]

  {SUMMARY}

  A value is a number, nan or inf. Without --step the step is one more than
  that of the point before it. Outside a recorded run this says so and does
  nothing; with GITRUN_DISABLE=1 it says nothing either.

Options:
  --step N  The step that the values belong to.
  --help    Show this message and exit.
"""


def main(words: list[str]) -> int:
    """Runs `gitrun log WORDS`; the exit status for the shell."""
    try:
        if "--help" in words:
            print(HELP, end="")
            return 0
        values, step = parse(words)
        folder = member()
        if folder is not None:
            rank = points.rank_in(os.environ)
            append_shared(folder, points.lone_point(step, time.time_ns(), values, rank), rank)
    except UsageError as problem:
        tell(f"{problem}\n  next: {problem.next}")
        return problem.exit_code
    except FileNotFoundError:
        tell("the run is over, or out of reach: nothing was logged")
        return 1
    except OSError as problem:
        tell(f"nothing was logged: {problem.strerror}")
        return 1
    return 0


def parse(words: list[str]) -> tuple[dict[str, float], int | None]:
    """Numbers by name, and the step; raises UsageError."""
    values: dict[str, float] = {}
    step = None
    rest = iter(words)
    for word in rest:
        name, equals, text = word.partition("=")
        if name == "--step":
            step = _step(text if equals else next(rest, ""))
        elif word.startswith("-"):
            raise _wrong(f"log has no option {word}")
        elif not equals or not points.is_name(name):
            raise _wrong(f"{word!r} is not KEY=VALUE")
        else:
            values[name] = _number(name, text)
    if not values:
        raise _wrong("log needs a KEY=VALUE")
    return values, step


def _step(text: str) -> int:
    try:
        step = points.whole_step(int(text))
    except ValueError:
        step = None
    if step is None:
        raise _wrong(f"--step {text!r} is no integer of 64 bits")
    return step


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong(f"{name}={text!r} is no number") from None


def _wrong(what: str) -> UsageError:
    return UsageError(what, next="gitrun log --help")
