"""A run while it runs: its metrics, the machine, the end of its console, as a page that is drawn again and again.

A look reads what was written since the last one, and keeps of it as much as is shown. So watching costs the same after
a week as in the first minute.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from gitrun.archive.harmless import harmless
from gitrun.archive.live_view import LiveRun
from gitrun.archive.message import command_line
from gitrun.child.frames import METRICS, SYSTEM
from gitrun.model.ids import short
from gitrun.model.times import parse_iso
from gitrun.recording.live import LiveDirectory
from gitrun.ui.console import SpoolReader
from gitrun.ui.frames import Collapser
from gitrun.ui.metrics import number
from gitrun.ui.plot import sparkline
from gitrun.ui.series import Trace, Traces
from gitrun.ui.system import GPU, SERIES, gpu_words
from gitrun.ui.table import columns, shorten
from gitrun.ui.terminal import STATUS_STYLE, Screen
from gitrun.ui.words import duration

_METRICS = 12
_MEMBERS = 16
_LINES = 200  # of the console, that are remembered
_LABEL = 14


class Fields(NamedTuple):
    """One line of a page: a label, a value, a sparkline."""

    label: str
    value: str
    spark: str


class Member:
    """One member of a live run: its console, what it takes of the machine, and whether it has ended."""

    def __init__(self, n: int, directory: str) -> None:
        self.n = n
        self.lines: deque[str] = deque(maxlen=_LINES)
        self._directory = directory
        self._system = Traces([directory], SYSTEM)
        self._spool = SpoolReader(directory)
        self._collapser = Collapser(redraw=False)
        self._rest = b""

    @property
    def has_left(self) -> bool:
        """Whether it has ended and others go on."""
        return os.path.lexists(os.path.join(self._directory, "left"))

    @property
    def series(self) -> dict[str, Trace]:
        """The system series by name."""
        return self._system.by_name

    def look(self) -> list[str]:
        """Takes what was written since the last look; the lines of its console among that."""
        self._system.read()
        found: list[str] = []
        for stream, _, data in self._spool.fresh():
            if stream:
                *lines, self._rest = (self._rest + self._collapser.feed(data)).split(b"\n")
                found += (harmless(line.decode("utf-8", "replace")) for line in lines)
        self.lines.extend(found)
        return found

    def close(self) -> None:
        """Lets go of the files."""
        self._spool.close()


class Watched:
    """A live run; `look` takes what is new, `page` and `line` show it.

    Of several members each has a line of its own, lines of the console begin with their numbers, and what they take of
    the machine is added up; with `only` there is nothing but the member of that number, and the metrics of all.
    """

    def __init__(self, run: LiveRun, plain: bool, only: int | None = None) -> None:
        self._run = run
        self._plain = plain
        self._only = only
        self._metrics = Traces([], METRICS)
        self._members: dict[int, Member] = {}
        self._others: set[int] = set()
        self._lines: deque[str] = deque(maxlen=_LINES)

    def look(self) -> None:
        """Takes what was written since the last look, and the members that have come since."""
        live = LiveDirectory(self._run.directory)
        for n in live.numbers():
            if n not in self._members and n not in self._others:
                self._metrics.add(live.of(n).member)
                if self._only in (None, n):
                    self._members[n] = Member(n, live.of(n).member)
                else:
                    self._others.add(n)
        self._metrics.read()
        for n, member in self._members.items():
            before = f"{n}| " if self._has_several else ""
            self._lines.extend(before + line for line in member.look())

    @property
    def _has_several(self) -> bool:
        return len(self._members) > 1

    def page(self, screen: Screen, height: int, now_ns: int) -> list[str]:
        """The page, in lines that fit."""
        record = self._run.draft
        width = min(screen.width, 1000)
        status = screen.style("running", STATUS_STYLE["running"])
        head = f"run {self._run.id}  "
        lines = [screen.style(head, "bold") + status + f" for {duration(self._age_s(now_ns))}{_name(record)}"]
        lines.append(shorten(f"  {harmless(command_line(record['command']), 2000)}", width))
        for title, fields, most in (
            ("metrics", self.metrics(), _METRICS),
            ("members", self.members(), _MEMBERS),
            ("system", self.system(), None),
        ):
            shown = fields[:most]
            if shown:
                lines.append(screen.style(title, "bold"))
                lines += [_row(screen, field, width) for field in shown]
            if len(fields) > len(shown):
                hint = f": gitrun metrics {short(self._run.id)}" if title == "metrics" else ""
                lines.append(f"  … and {len(fields) - len(shown):,} more{hint}")
        room = height - len(lines) - 2
        if self._lines and room > 0:
            lines.append(screen.style("console", "bold"))
            lines += [shorten(f"  {line}", width) for line in list(self._lines)[-room:]]
        return lines[: height - 1]

    def line(self, now_ns: int) -> list[str]:
        """The same in a few words: status, age, metrics, system, the last line of the console."""
        metrics = " ".join(f"{field.label}={field.value.split(' ')[0]}" for field in self.metrics()[:_METRICS])
        system = ", ".join(f"{field.label} {field.value}" for field in self.system())
        left = sum(member.has_left for member in self._members.values())
        count = len(self._members)
        status = f"running ({count - left} of {count} members)" if self._has_several else "running"
        return [status, duration(self._age_s(now_ns)), metrics, system, self._lines[-1] if self._lines else ""]

    def close(self) -> None:
        """Lets go of the files."""
        for member in self._members.values():
            member.close()

    def metrics(self) -> list[Fields]:
        """The metrics that were logged last come last, as their program named them."""
        return [
            Fields(harmless(name, 60), f"{number(trace.last)}  step {trace.step}", self._spark(trace))
            for name, trace in self._metrics.by_name.items()
        ]

    def members(self) -> list[Fields]:
        """What each of several members takes of the machine now, those that have ended last."""
        if not self._has_several:
            return []
        rows = []
        for member in sorted(self._members.values(), key=lambda one: (one.has_left, one.n)):
            cpu = member.series.get(SERIES[0][0])
            said = [words(member.series[name].last) for name, _, words in SERIES[:2] if name in member.series]
            said += [f"gpu {n} {gpu_words(values)}" for n, values in _devices(member.series).items()]
            text = "has ended" if member.has_left else ", ".join(said)
            rows.append(Fields(f"member {member.n}", text, "" if cpu is None or member.has_left else self._spark(cpu)))
        return rows

    def system(self) -> list[Fields]:
        """What the run takes of the machine now, all members together."""
        running = [member.series for member in self._members.values() if not member.has_left]
        rows = []
        for name, label, words in SERIES:
            traces = [series[name] for series in running if name in series]
            if traces:
                spark = self._spark(traces[0]) if not self._has_several else ""
                rows.append(Fields(label, words(sum(trace.last for trace in traces)), spark))
        for series in running if not self._has_several else ():
            for n, values in _devices(series).items():
                busy = series.get(f"gpu/{n}/busy")
                rows.append(Fields(f"gpu {n}", gpu_words(values), "" if busy is None else self._spark(busy)))
        return rows

    def _spark(self, trace: Trace) -> str:
        return sparkline(trace.spans(), self._plain)

    def _age_s(self, now_ns: int) -> float:
        return max(0.0, (now_ns - parse_iso(self._run.draft["started_at"])) / 1e9)


def _devices(series: dict[str, Trace]) -> dict[int, dict[str, float]]:
    """The last value of each series of each device, by its number."""
    found: dict[int, dict[str, float]] = {}
    for name, trace in series.items():
        if match := GPU.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = trace.last
    return {n: found[n] for n in sorted(found)}


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
