"""Says of a run's Python processes which of them were seen, and where none was, why.

A report can only come from a process that imports `sitecustomize` with the run's PYTHONPATH: not from one that was
started with `-I`, `-E` or `-S`, with another PYTHONPATH or without the variables of the run, and not from a program
that is no Python. What did not report is not there, so the record says how far that goes instead of looking complete.
The reason is read from the words of the command.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gitrun.capture.observed import Observed, Process
from gitrun.capture.program import is_python
from gitrun.child.opened import MAX_FILES as MAX_OPENED
from gitrun.model.listing import listed

_WITH_WORD = "cmWX"  # options of Python whose word may stand behind them
_HIDING = {
    "I": "Python was started with -I, so it looks neither at PYTHONPATH nor at its sitecustomize",
    "E": "Python was started with -E, so it does not look at PYTHONPATH",
    "S": "Python was started with -S, so it imports no sitecustomize",
    "PYTHONPATH": "Python was started with another PYTHONPATH than that of the run",
}
_SHELLS = (b"sh", b"bash", b"dash", b"zsh", b"ksh")
_MOST_TEXT = 1 << 16  # of what a shell is told to run


def child_coverage(observed: Observed, command: Sequence[bytes], python_known: bool) -> dict[str, Any]:
    """`coverage.child`: how many processes reported, whether Python was observed, and what is to be known about it.

    `python_known` says that the command's program was found to be a Python before it ran.
    """
    processes = observed.processes
    hiding = [_HIDING[name] for name in sorted(_isolations(command))]
    labels = [*_labels(processes), *observed.problems]
    if processes:
        more = [f"not observed beside them: {why}" for why in hiding]
        return {"processes": len(processes), "python": "observed", "labels": [*labels, *more]}
    python = f"not observed: {'; '.join(hiding) or _why_not(python_known)}"
    return {"processes": 0, "python": python, "labels": labels}


def _why_not(python_known: bool) -> str:
    if python_known:
        return "the process was killed before it could report, lost its variables, or is a Python without sitecustomize"
    return "no Python process with the variables of the run"


def isolation(command: Sequence[bytes]) -> str | None:
    """What keeps the Python of a command line from being observed: the option `I`, `E` or `S`, or `PYTHONPATH`."""
    for at, word in enumerate(command):
        if is_python(word):
            values = [before.partition(b"=") for before in command[:at]]
            replaced = any(name == b"PYTHONPATH" and b"$" + name not in value for name, _, value in values)
            return _isolating_option(command[at + 1 :]) or ("PYTHONPATH" if replaced else None)
    return None


def _isolations(command: Sequence[bytes]) -> set[str]:
    """The same of each command in the text for a shell, as far as blanks and semicolons tell them apart."""
    commands = [command]
    if len(command) > 2 and os.path.basename(command[0]) in _SHELLS and re.fullmatch(rb"-[a-z]*c", command[1]):
        text = re.sub(rb"['\"{}]", b"", command[2][:_MOST_TEXT])
        commands = [one.split() for one in re.split(rb"[;&|()\n]+", text)]
    return {found for one in commands if (found := isolation(one))}


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
        labels.append(f"ranks {listed(ranks, 64)}")
    if others := sorted({name for process in processes if (name := _implementation(process)) != "cpython"}):
        labels.append(f"implementations {', '.join(others)}")
    replaced = [process for at, process in enumerate(processes) if _went_on(process, processes[at + 1 :])]
    if replaced:
        labels.append(f"{len(replaced)} became another program, and told what they had loaded until then")
    if deaf := len([process for process in processes if process.start.get("flags", {}).get("warn_default_encoding")]):
        labels.append(f"{deaf} did not list the files they opened (-X warn_default_encoding)")
    if more := len([process for process in processes if process.opened_more]):
        labels.append(f"{more} opened more files than the {MAX_OPENED} that are listed of a process")
    cut = len([process for process in processes if not process.complete]) - len(replaced)
    if cut:
        why = "killed, still running, or unable to write"
        labels.append(f"{cut} of {len(processes)} ended without a last word ({why})")
    return labels


def _implementation(process: Process) -> str:
    return str(process.start.get("implementation", "cpython"))


def _went_on(process: Process, later: Sequence[Process]) -> bool:
    """Whether a process replaced itself by another Python: the same pid reported once more, and not as a fork."""
    if process.complete:
        return False
    return any(other.pid == process.pid and other.start.get("start_method") != "fork" for other in later)
