"""Says of a run's Python processes which of them were seen, and where none was, why.

A report can only come from a process that imports `sitecustomize` with the run's PYTHONPATH: not from one that was
started with `-I`, `-E` or `-S` or without the variables of the run, and not from a program that is no Python. What did
not report is not there, so the record says how far that goes instead of looking complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gitrun.capture.observed import Observed, Process
from gitrun.capture.program import is_python

_WITH_WORD = "cmWX"  # options of Python whose word may stand behind them


def child_coverage(observed: Observed, command: Sequence[bytes], python_known: bool) -> dict[str, Any]:
    """`coverage.child`: how many processes reported, whether Python was observed, and what is to be known about it.

    `python_known` says that the command's program was found to be a Python before it ran.
    """
    processes = observed.processes
    python = "observed" if processes else f"not observed: {_why_not(command, python_known)}"
    return {"processes": len(processes), "python": python, "labels": [*_labels(processes), *observed.problems]}


def _why_not(command: Sequence[bytes], python_known: bool) -> str:
    if flag := isolation(command):
        return f"Python was started with -{flag}, so it does not look at PYTHONPATH or sitecustomize"
    if python_known:
        return "the process was killed before it could report, lost its variables, or is a Python without sitecustomize"
    return "no Python process with the variables of the run"


def isolation(command: Sequence[bytes]) -> str | None:
    """The option in a command line that keeps its Python from being observed."""
    for at, word in enumerate(command):
        if is_python(word):
            return _isolating_option(command[at + 1 :])
    return None


def _isolating_option(words: Sequence[bytes]) -> str | None:
    for word in words:
        if not word.startswith(b"-") or word in (b"-", b"--") or word.startswith(b"--"):
            return None  # the script: what follows is its own
        for letter in word[1:].decode("ascii", "replace"):
            if letter in "IES":
                return letter
            if letter in _WITH_WORD:
                break
        if word[1:2] in (b"c", b"m"):
            return None
    return None


def _labels(processes: list[Process]) -> list[str]:
    labels = []
    started = Counter(process.start["start_method"] for process in processes if process.start.get("start_method"))
    if started:
        labels.append("processes by " + ", ".join(f"{name} ({count})" for name, count in sorted(started.items())))
    ranks = sorted({process.start["rank"] for process in processes if process.start.get("rank")})
    if ranks:
        labels.append(f"ranks {', '.join(ranks[:64])}" + (f" and {len(ranks) - 64} more" if len(ranks) > 64 else ""))
    if others := sorted({name for process in processes if (name := _implementation(process)) != "cpython"}):
        labels.append(f"implementations {', '.join(others)}")
    replaced = [process for at, process in enumerate(processes) if _went_on(process, processes[at + 1 :])]
    if replaced:
        labels.append(f"{len(replaced)} became another program, and told what they had loaded until then")
    cut = len([process for process in processes if not process.complete]) - len(replaced)
    if cut:
        labels.append(f"{cut} of {len(processes)} ended without a last word (killed, or still running)")
    return labels


def _implementation(process: Process) -> str:
    return str(process.start.get("implementation", "cpython"))


def _went_on(process: Process, later: Sequence[Process]) -> bool:
    """Whether a process replaced itself by another Python: the same pid reported once more, and not as a fork."""
    if process.complete:
        return False
    return any(other.pid == process.pid and other.start.get("start_method") != "fork" for other in later)
