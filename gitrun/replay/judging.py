"""Judging a replay that has ended: what is compared of the two runs, before the replay is sealed with the verdict.

The recorded run is read from the archive. The replay's own record is still in its live directory: facts as
parts, its console in the member's files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitrun.archive.run import Run
from gitrun.archive.seal import Part
from gitrun.model.canonical import decode
from gitrun.recording.console import collect, read_stream
from gitrun.recording.live import LiveDirectory
from gitrun.recording.recover import redactor
from gitrun.recording.request import Finished
from gitrun.replay.difference import differences
from gitrun.replay.verdict import Console, compare_consoles, console_of, ending_of, judge

Pieces = Iterable[tuple[int, int, bytes]]
TOPICS = ("environment", "hardware")


class Judge:
    """Compares one recorded run, whose console is read at once, with what repeats it."""

    def __init__(self, run: Run, read_console: Callable[[Run], Pieces]) -> None:
        self._run = run
        self._console = _kept_whole(console_of(read_console(run)), run.record)

    def judged(self, finished: Finished, notes: Iterable[str], environ: Mapping[str, str]) -> dict[str, Any]:
        """The verdict on a replay that has ended; `notes` are things to be told about how it was run."""
        record = finished.record
        # As it will be sealed: secrets replaced, as they are in the recorded one.
        pieces = read_stream(b"".join(collect(finished.member, redactor(environ))))
        console = _kept_whole(console_of(pieces), record)
        apart = _is_merged(self._run.record) == _is_merged(record)
        agreement = compare_consoles(self._console, console) if apart else compare_consoles(None, None)
        found = self._differences(finished)
        return judge(
            self._run.id, record["id"], ending_of(self._run.record), ending_of(record), agreement, found, notes
        )

    def _differences(self, finished: Finished) -> dict[str, Mapping[str, Any]]:
        """What differs between the environments and machines of the two runs, by dotted key."""
        paths = LiveDirectory(os.path.dirname(os.path.dirname(finished.member))).part_paths()
        found: dict[str, Mapping[str, Any]] = {}
        for topic in TOPICS:
            name = f"{topic}.json"
            mine = decode(Part(path=paths[name]).read()) if name in paths else {}
            found[topic] = {key: [a, b] for key, a, b in differences(self._run.value(name) or {}, mine)}
        return found


def _kept_whole(console: Console, record: Mapping[str, Any]) -> Console:
    complete = (record.get("coverage") or {}).get("console", "complete") == "complete"
    return console._replace(is_whole=console.is_whole and complete)


def _is_merged(record: Mapping[str, Any]) -> bool:
    """Whether both streams went through one pipe or terminal, where they cannot be told apart."""
    return bool((record.get("process") or {}).get("merged_streams"))
