"""Runs that are being recorded, as a reader sees them.

A live directory belongs to its recorder. A reader takes what is there at this moment, the draft
of run.json and the time of the last heartbeat, and decides nothing: whether a run is dead is
`gitrun recover`'s question, with rules of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from gitrun.archive.message import Summary, decode_message, encode_message
from gitrun.archive.run import Problem, Run
from gitrun.archive.shape import check_shape
from gitrun.errors import DamagedRecord, GitrunError, NewerFormat
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode
from gitrun.model.ids import is_run_id
from gitrun.model.record import check_readable


class SoFar(NamedTuple):
    """What the programs of a run have said until now, as a sealed record would have it: by name."""

    metrics: dict[str, Any]
    summary: dict[str, Any]
    config: dict[str, Any]


class LiveRun(Run):
    """A run behind a live directory; its record is the draft with what was said so far, and its status is `running`.

    `look` reads the latter out of the directory, once it is asked for.
    """

    def __init__(self, run_id: str, directory: str, now_s: float, look: Callable[[str], SoFar] | None = None) -> None:
        super().__init__(run_id)
        self.directory = directory
        self._now_s = now_s
        self._look = look
        self._so_far: SoFar | None = None
        self._draft: dict[str, Any] | None = None
        member = _last_seen(directory, now_s)
        self.liveness = {"host": _host(member), "heartbeat_age_s": _age_s(member, now_s)}

    @property
    def summary(self) -> Summary:
        try:
            summary = decode_message(encode_message(self.draft))
        except GitrunError as problem:
            self.problem = self.problem or Problem("E011", str(problem))
            summary = None
        return summary or Summary(self.id, "running")

    @property
    def snapshot(self) -> str | None:
        live = self.draft.get("live")  # what only the draft has
        commit = live.get("snapshot") if type(live) is dict else None
        return commit if type(commit) is str else None

    def part(self, name: str) -> bytes | None:
        try:
            return _read(os.path.join(self.directory, "parts", name))
        except OSError:
            return None  # not captured yet, or the run has just been sealed

    def value(self, name: str) -> Any:
        """As `Run.value`; the configuration with what the programs have added to it."""
        value = super().value(name)
        told = self.so_far.config if name == "config.json" else None
        if not told:
            return value
        config = value if type(value) is dict else {}
        values, provenance = config.get("values") or {}, config.get("provenance") or {}
        return {
            **config,
            "values": {**values, **told},
            "provenance": {**provenance, **{name: {"source": "api", "default": None} for name in told}},
        }

    @property
    def so_far(self) -> SoFar:
        """What its programs have said until it was first asked for."""
        if self._so_far is None:
            self._so_far = SoFar({}, {}, {}) if self._look is None else self._look(self.directory)
        return self._so_far

    def without_look(self) -> LiveRun:
        """The same run without what its programs have said."""
        return LiveRun(self.id, self.directory, self._now_s)

    @property
    def draft(self) -> dict[str, Any]:
        """Its record without that, which costs next to nothing; raises as `record`."""
        if self._draft is None:
            self._draft = self._read_draft()
        return self._draft

    def _read_record(self) -> dict[str, Any]:
        draft, said = self.draft, self.so_far
        return {
            **draft,
            "metrics": {**(draft.get("metrics") or {}), **said.metrics},
            "summary": {**(draft.get("summary") or {}), **said.summary},
        }

    def _read_draft(self) -> dict[str, Any]:
        try:
            record = decode(_read(os.path.join(self.directory, "run.json")))
            return {**check_shape(check_readable(record)), "status": "running"}
        except NewerFormat as problem:
            self.problem = Problem("W012", problem.message)
            raise
        except (OSError, DecodeProblem, DamagedRecord) as problem:
            self.problem = Problem("E011", f"its draft cannot be read: {problem}")
            raise DamagedRecord(f"live run {self.id}: {self.problem.what}", next="gitrun recover") from problem


def live_ids(gitrun_dir: str) -> list[str]:
    """The ids of the live directories of an archive."""
    try:
        return [name for name in os.listdir(os.path.join(gitrun_dir, "live")) if is_run_id(name)]
    except FileNotFoundError:
        return []


def open_live(gitrun_dir: str, run_id: str, now_s: float, look: Callable[[str], SoFar] | None = None) -> LiveRun:
    """The live run of that id."""
    return LiveRun(run_id, os.path.join(gitrun_dir, "live", run_id), now_s, look)


def _last_seen(directory: str, now_s: float) -> str:
    """The member that was heard of last, of those that have not left."""
    first = os.path.join(directory, "members", "0")
    try:
        found = [os.path.join(directory, "members", n) for n in os.listdir(os.path.dirname(first)) if n.isdecimal()]
    except OSError:
        return first  # being created, or just sealed
    here = [member for member in found if not os.path.lexists(os.path.join(member, "left"))]
    return min(here or [first], key=lambda member: (_age_s(member, now_s) or 0.0, member))


def _host(member: str) -> str | None:
    try:
        header = decode(_read(os.path.join(member, "header.json")))
    except (OSError, DecodeProblem):
        return None  # being created, or just sealed
    host = header.get("host") if type(header) is dict else None
    return host if type(host) is str else None


def _age_s(member: str, now_s: float) -> float | None:
    for name in ("heartbeat", "header.json"):
        try:
            return round(max(0.0, now_s - os.stat(os.path.join(member, name)).st_mtime), 1)
        except OSError:
            continue  # no heartbeat yet: the header's own age stands for it
    return None


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)
