"""The Python processes of a run as its record describes them, and the seeds and threads they ended up with.

A training with eight ranks has eight reports that say the same thing. So the primary process is described whole, and
of every other one what tells it apart: who it was, and what differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import encode, path_text

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed, Process

MOST_PROCESSES = 64
MOST_BYTES = 128 << 10  # of the description of one process
_WHOLE = ("implementation", "version", "build", "flags", "xoptions", "path")
_EACH = ("executable", "rank", "start_method")


class Description(NamedTuple):
    """`value` is for `process.observed`, `seeds` for `run.json.seeds`."""

    value: dict[str, Any]
    seeds: dict[str, Any]
    problems: list[str]


def describe_processes(observed: Observed, redactor: Redactor) -> Description:
    """Describe the processes of one run, of which there is at least one."""
    problems: list[str] = []
    first, *others = observed.processes
    whole = {**_described(first, redactor), **_fields(first, _WHOLE, redactor)}
    if first.numerics:
        whole["numerics"] = plain(first.numerics, redactor)
    processes = [_bounded(whole, first, problems)]
    for other in others[: MOST_PROCESSES - 1]:
        facts = _described(other, redactor)
        facts.update((key, value) for key, value in _fields(other, _WHOLE, redactor).items() if value != whole.get(key))
        for key, mine, theirs in (
            ("seeds", first.seeds, other.seeds),
            ("numerics", first.numerics, other.numerics),
        ):
            if theirs and theirs != mine:
                facts[key] = plain(theirs, redactor)
        processes.append(_bounded(facts, other, problems))
    value: dict[str, Any] = {"processes": processes}
    if (more := len(others) - MOST_PROCESSES + 1) > 0:
        value["more"] = more
    seeds = plain(first.seeds, redactor)
    if len(encode(seeds)) > MOST_BYTES:
        problems.append(f"the seeds of process {first.pid} are more than {MOST_BYTES} bytes")
        seeds = {}
    return Description(value, seeds, problems)


def plain(value: Any, redactor: Redactor) -> Any:
    """A reported value as a record holds it: bytes as text, secrets replaced."""
    if isinstance(value, dict):
        return {str(plain(key, redactor)): plain(item, redactor) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, redactor) for item in value]
    if isinstance(value, bytes):
        return redactor.text(path_text(value))
    return redactor.text(value) if isinstance(value, str) else value


def _described(process: Process, redactor: Redactor) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "ppid": process.ppid,
        "complete": process.complete,
        **_fields(process, _EACH, redactor),
    }


def _fields(process: Process, names: tuple[str, ...], redactor: Redactor) -> dict[str, Any]:
    start = process.start
    return {name: plain(start[name], redactor) for name in names if start.get(name) is not None}


def _bounded(facts: dict[str, Any], process: Process, problems: list[str]) -> dict[str, Any]:
    if len(encode(facts)) <= MOST_BYTES:
        return facts
    problems.append(f"what process {process.pid} reported is more than {MOST_BYTES} bytes")
    return {key: facts[key] for key in ("pid", "ppid", "complete")}
