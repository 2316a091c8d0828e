"""The message of a run's commit: what a list of runs needs, without opening a single record.

Ten thousand runs are listed by reading ten thousand commits through one pipe; opening every
tree and run.json as well would cost five times that. So the commit repeats a few fields of
run.json as trailers. run.json is what counts: the trailers are derived from it, and readers that
show a single run never look at them.

    run 20261124-061246-k3v9tq completed: python train.py --lr 0.1

    Run-Id: 20261124-061246-k3v9tq
    Status: completed
    Exit: 0
    ...
"""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

from gitrun.archive.harmless import harmless
from gitrun.model.ids import is_run_id
from gitrun.model.record import change_count

SUBJECT_LIMIT = 200
VALUE_LIMIT = 400
_MAX_TAGS = 100


class Summary(NamedTuple):
    """What a run's commit says about it; texts are harmless, absent fields are empty or None."""

    run_id: str
    status: str
    exit: str = ""
    started: str = ""
    duration_s: float | None = None
    name: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    replay_of: str = ""
    parent: str = ""
    origin: str = ""
    format: int = 0
    requires: tuple[str, ...] = ()
    changes: int | None = None
    command: str = ""
    resumed_from: str = ""


def command_line(command: list[str]) -> str:
    """The command as a shell would take it, on one line."""
    return shlex.join(command)


def exit_word(exit: dict[str, Any] | None) -> str:
    """`0`, `signal 15`, or nothing where nobody saw the end."""
    if not exit:
        return ""
    if exit.get("signal") is not None:
        return f"signal {exit['signal']}"
    return "" if exit.get("code") is None else str(exit["code"])


def encode_message(record: dict[str, Any]) -> str:
    """The commit message of a record: a bounded subject and one trailer a line."""
    command = harmless(command_line(_bounded(record["command"])), SUBJECT_LIMIT)
    links = record.get("links") or {}
    duration = record.get("duration_s")
    trailers: list[tuple[str, str | None]] = [
        ("Run-Id", record["id"]),
        ("Status", record["status"]),
        ("Exit", exit_word(record.get("exit"))),
        ("Started", record.get("started_at")),
        ("Duration", None if duration is None else f"{duration:.3f}"),
        ("Name", record.get("name")),
        ("Group", record.get("group")),
        *(("Tag", tag) for tag in (record.get("tags") or [])[:_MAX_TAGS]),
        ("Replay-Of", links.get("replay_of")),
        ("Parent", links.get("parent")),
        ("Resumed-From", links.get("resumed_from")),
        ("Origin", record.get("origin")),
        ("Changes", str(change_count(record.get("source") or {}))),
        ("Format", str(record["format"])),
        *(("Requires", feature) for feature in record.get("requires") or []),
    ]
    lines = [f"{key}: {harmless(value, VALUE_LIMIT)}" for key, value in trailers if value]
    return f"run {record['id']} {record['status']}: {command}\n\n" + "\n".join(lines) + "\n"


def decode_message(text: str) -> Summary | None:
    """The summary in a commit message, or None where it is not a run's."""
    subject, _, rest = text.partition("\n")
    fields: dict[str, list[str]] = {}
    for line in rest.splitlines():
        key, colon, value = line.partition(": ")
        if colon:
            fields.setdefault(key, []).append(harmless(value, VALUE_LIMIT))
    first = {key: values[0] for key, values in fields.items()}
    run_id = first.get("Run-Id", "")
    if not is_run_id(run_id) or not first.get("Format", "").isdecimal():
        return None
    return Summary(
        run_id=run_id,
        status=first.get("Status", ""),
        exit=first.get("Exit", ""),
        started=first.get("Started", ""),
        duration_s=_number(first.get("Duration", "")),
        name=first.get("Name", ""),
        group=first.get("Group", ""),
        tags=tuple(fields.get("Tag", ())[:_MAX_TAGS]),
        replay_of=first.get("Replay-Of", ""),
        parent=first.get("Parent", ""),
        origin=first.get("Origin", ""),
        format=int(first["Format"][:9]),
        requires=tuple(fields.get("Requires", ())),
        changes=int(first["Changes"][:9]) if first.get("Changes", "").isdecimal() else None,
        command=harmless(subject.partition(": ")[2], SUBJECT_LIMIT),
        resumed_from=first.get("Resumed-From", ""),
    )


def _bounded(command: list[str]) -> list[str]:
    """As many words as the subject can show: argv may hold megabytes."""
    words: list[str] = []
    left = SUBJECT_LIMIT + 2
    for word in command:
        if left <= 0:
            break
        words.append(word[: left + 1])
        left -= len(word) + 1
    return words


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None
