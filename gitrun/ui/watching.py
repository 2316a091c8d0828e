"""A run while it runs: its metrics, the machine, the end of its console, as a page that is drawn again and again.

A look reads what was written since the last one, and of a metric with a million points keeps as many as a sparkline
shows. So watching costs the same after a week as in the first minute.
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from gitrun.archive.harmless import harmless
from gitrun.archive.live_view import LiveRun
from gitrun.archive.message import command_line
from gitrun.capture.series import Points
from gitrun.model.times import parse_iso
from gitrun.recording.live import LiveDirectory
from gitrun.recording.sampling import PREFIX
from gitrun.ui.console import SpoolReader
from gitrun.ui.frames import Collapser
from gitrun.ui.metrics import number
from gitrun.ui.plot import sparkline
from gitrun.ui.system import SERIES, gpu_words
from gitrun.ui.table import columns, shorten
from gitrun.ui.terminal import STATUS_STYLE, Screen
from gitrun.ui.words import duration

_SPARKS = 24
_METRICS = 12
_LINES = 200  # of the console, that are remembered
_LABEL = 14
_GPU = re.compile("gpu/([0-9]+)/.+")


class Span(NamedTuple):
    """The last value of a part of a series."""

    last: float


class Trace:
    """A series of any length in as many values as a sparkline shows: every second one goes when they are too many."""

    def __init__(self) -> None:
        self.last = 0.0
        self.step = 0
        self._stride = 1
        self._seen = 0
        self._values: list[float] = []

    def add(self, steps: array[int], values: array[float]) -> None:
        """Takes further points, in their order."""
        self.last, self.step = values[-1], steps[-1]
        self._values += values[-self._seen % self._stride :: self._stride]
        self._seen += len(values)
        while len(self._values) > 4 * _SPARKS:
            self._values = self._values[::2]
            self._stride *= 2

    def spans(self) -> list[Span]:
        """What a sparkline draws."""
        kept = self._values
        width = max(1, -(-len(kept) // _SPARKS))
        return [Span(kept[min(n + width, len(kept)) - 1]) for n in range(0, len(kept), width)]


class Traces:
    """The series in the journals of some directories; `read` takes what is new. Of several ranks the first is shown."""

    def __init__(self, members: list[str], prefix: str) -> None:
        self._points = Points(members, prefix)
        self._ranks: dict[str, int] = {}
        self.by_name: dict[str, Trace] = {}

    def read(self) -> None:
        """Takes the points that were written since the last look."""
        for group in self._points.read().groups:
            step_pieces, _, *value_pieces = group.columns
            steps, rank = array("q", b"".join(step_pieces)), -1 if group.rank is None else group.rank
            for name, pieces in zip(group.names, value_pieces, strict=True):
                values = array("d", b"".join(pieces))
                known = self._ranks.get(name, rank)
                if rank < known or name not in self.by_name:
                    self.by_name[name], known = Trace(), rank
                self._ranks[name] = known
                if rank == known and values:
                    self.by_name[name].add(steps, values)
            for pieces in group.columns:
                pieces.clear()


class Fields(NamedTuple):
    """One line of a page: a label, a value, a sparkline."""

    label: str
    value: str
    spark: str


class Watched:
    """A live run; `look` takes what is new, `page` and `line` show it."""

    def __init__(self, run: LiveRun, plain: bool) -> None:
        self._run = run
        self._plain = plain
        members = LiveDirectory(run.directory).members()
        self._metrics = Traces(members, "metrics-")
        self._system = Traces(members[:1], PREFIX)
        self._spool = SpoolReader(members[0] if members else run.directory)
        self._collapser = Collapser(redraw=False)
        self._rest = b""
        self._lines: deque[str] = deque(maxlen=_LINES)

    def look(self) -> None:
        """Takes what was written since the last look."""
        self._metrics.read()
        self._system.read()
        for stream, _, data in self._spool.fresh():
            if stream:
                *lines, self._rest = (self._rest + self._collapser.feed(data)).split(b"\n")
                self._lines.extend(harmless(line.decode("utf-8", "replace")) for line in lines)

    def page(self, screen: Screen, height: int, now_ns: int) -> list[str]:
        """The page, in lines that fit."""
        record = self._run.record
        width = min(screen.width, 1000)
        status = screen.style("running", STATUS_STYLE["running"])
        head = f"run {self._run.id}  "
        lines = [screen.style(head, "bold") + status + f" for {duration(self._age_s(now_ns))}{_name(record)}"]
        lines.append(shorten(f"  {harmless(command_line(record['command']), 2000)}", width))
        for title, fields in (("metrics", self.metrics()), ("system", self.system())):
            shown = fields[: _METRICS if title == "metrics" else None]
            if shown:
                lines.append(screen.style(title, "bold"))
                lines += [_row(screen, field, width) for field in shown]
            if len(fields) > len(shown):
                lines.append(f"  … and {len(fields) - len(shown):,} more: gitrun metrics {self._run.id[-6:]}")
        room = height - len(lines) - 2
        if self._lines and room > 0:
            lines.append(screen.style("console", "bold"))
            lines += [shorten(f"  {line}", width) for line in list(self._lines)[-room:]]
        return lines[: height - 1]

    def line(self, now_ns: int) -> list[str]:
        """The same in a few words: status, age, metrics, system, the last line of the console."""
        metrics = " ".join(f"{field.label}={field.value.split(' ')[0]}" for field in self.metrics()[:_METRICS])
        system = ", ".join(f"{field.label} {field.value}" for field in self.system())
        return ["running", duration(self._age_s(now_ns)), metrics, system, self._lines[-1] if self._lines else ""]

    def close(self) -> None:
        """Lets go of the files."""
        self._spool.close()

    def metrics(self) -> list[Fields]:
        """The metrics that were logged last come last, as their program named them."""
        return [
            Fields(harmless(name, 60), f"{number(trace.last)}  step {trace.step}", self._spark(trace))
            for name, trace in self._metrics.by_name.items()
        ]

    def system(self) -> list[Fields]:
        """What the run takes of the machine now."""
        found = self._system.by_name
        rows = [
            Fields(label, words(found[name].last), self._spark(found[name]))
            for name, label, words in SERIES
            if name in found
        ]
        numbers = sorted({int(match[1]) for name in found if (match := _GPU.fullmatch(name))})
        for n in numbers:
            values = {name.split("/", 2)[2]: one.last for name, one in found.items() if name.startswith(f"gpu/{n}/")}
            busy = found.get(f"gpu/{n}/busy")
            rows.append(Fields(f"gpu {n}", gpu_words(values), "" if busy is None else self._spark(busy)))
        return rows

    def _spark(self, trace: Trace) -> str:
        return sparkline(trace.spans(), self._plain)

    def _age_s(self, now_ns: int) -> float:
        return max(0.0, (now_ns - parse_iso(self._run.record["started_at"])) / 1e9)


def _name(record: dict[str, Any]) -> str:
    return f"  {harmless(str(record['name']))}" if record.get("name") else ""


def _row(screen: Screen, field: Fields, width: int) -> str:
    label = shorten(field.label, max(_LABEL, width - 60)).ljust(_LABEL)
    text = f"  {screen.style(label, 'dim')} {field.value.ljust(28)}"
    return f"{text} {screen.style(field.spark, 'cyan')}".rstrip() if columns(label) < width - 60 else text


def tail(pieces: Iterator[tuple[int, int, bytes]], count: int) -> list[str]:
    """The last lines of a console."""
    collapser = Collapser(redraw=False)
    rest, lines = b"", deque[str](maxlen=count)
    for stream, _, data in pieces:
        if stream:
            *ended, rest = (rest + collapser.feed(data)).split(b"\n")
            lines.extend(harmless(line.decode("utf-8", "replace")) for line in ended)
    if last := rest + collapser.finish():
        lines.append(harmless(last.decode("utf-8", "replace")))
    return list(lines)
