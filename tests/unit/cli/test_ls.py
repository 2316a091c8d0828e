"""`ls`: lines in a pipe, CSV, a table on a terminal, and runs that cannot be read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from gitrun.git.refs import RUNS
from gitrun.ui import terminal

OLD, NEW = "20261124-061246-abc111", "20261125-000000-xyz333"


def test_lines_with_tabs_newest_first(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(OLD, name="a\tb\nc", tags=["x", "y"], command=["python", "my script.py"])
    hand.seal(NEW, status="failed", exit={"code": 3, "signal": None}, group="g")
    done = call("ls")
    assert done.code == 0
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        [NEW, "", "failed", "3", "2026-11-25T00:00:00.000000Z", "0.500", "0", "g", "", "", "true"],
        [
            OLD,
            r"a\tb\nc",
            "completed",
            "0",
            "2026-11-24T06:12:46.000000Z",
            "0.500",
            "0",
            "",
            "x,y",
            "",
            "python 'my script.py'",
        ],
    ]


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("0", 3), ("9", 3)])
def test_limit(hand: Any, call: Callable[..., Any], limit: str, count: int) -> None:
    for number in range(3):
        hand.seal(f"20261124-06124{number}-aaaaaa")
    assert len(call("ls", "-n", limit).stdout.splitlines()) == count
    assert len(call("ls", "--limit", limit, "--json").json()) == count


def test_csv_has_a_header_and_quotes(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(OLD, name='say "hi", please')
    rows = list(csv.DictReader(io.StringIO(call("ls", "--csv").stdout)))
    assert rows[0]["id"] == OLD
    assert rows[0]["name"] == 'say "hi", please'


def test_an_empty_archive(call: Callable[..., Any]) -> None:
    assert call("ls").stdout == ""
    assert call("ls", "--json").json() == []


def test_damaged_and_later_runs_are_listed_and_marked(
    hand: Any, call: Callable[..., Any], git: Callable[..., Any]
) -> None:
    commit = hand.seal(OLD).commit
    hand.seal(NEW, format=7)
    git("update-ref", RUNS + "20261124-000000-dddddd", commit, cwd=hand.root)
    lines = {line.split("\t")[0][-6:]: line.split("\t") for line in call("ls").stdout.splitlines()}
    assert lines["dddddd"][2] == "damaged"
    assert lines["dddddd"][-1].startswith("E012 ")
    assert lines["xyz333"][-1].startswith("W012 ")
    assert lines["abc111"][2] == "completed"
    objects = {run["id"][-6:]: run for run in call("ls", "--json").json()}
    assert objects["dddddd"]["status"] == "damaged"
    assert objects["dddddd"]["problem"]["code"] == "E012"
    assert objects["xyz333"]["problem"]["code"] == "W012"
    assert objects["abc111"]["problem"] is None
    assert objects["dddddd"].keys() == objects["abc111"].keys()


def test_foreign_refs_are_noted_on_stderr(hand: Any, call: Callable[..., Any], git: Callable[..., Any]) -> None:
    hand.seal(OLD)
    git("update-ref", RUNS + "mine", "HEAD", cwd=hand.root)
    done = call("ls")
    assert len(done.stdout.splitlines()) == 1
    assert "W013" in done.stderr


def as_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> None:
    real = terminal.Screen.__init__

    def init(self: terminal.Screen, stream: Any, environ: Any) -> None:
        real(self, stream, environ)
        self.is_terminal = True
        self.colour = not environ.get("NO_COLOR")

    monkeypatch.setattr(terminal.Screen, "__init__", init)
    monkeypatch.setenv("COLUMNS", str(columns))


def test_a_table_on_a_terminal_fits_it(hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hand.seal(OLD, name="baseline", command=["x" * 300])
    as_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    header, row = call("ls").stdout.splitlines()
    assert header.split() == ["RUN", "NAME", "STATUS", "STARTED", "TOOK", "DIRTY", "COMMAND"]
    assert row.startswith("abc111  baseline  completed  2026-11-24 06:12  0.50 s")
    assert len(row) <= 80
    assert row.endswith("…")


def test_no_record_can_drive_the_terminal(hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hand.seal(OLD, name="\x1b[2J\x1b]0;owned\x07", command=["\x1b[31mred\u202e"], tags=["\x9b1m"])
    as_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    for arguments in (("ls",), ("show", "@"), ("status",)):
        done = call(*arguments)
        assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\x9b", "\u202e"}, arguments


def test_a_terminal_shows_fifty_and_says_so(
    hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, git: Callable[..., Any]
) -> None:
    commit = hand.seal(OLD).commit
    lines = "".join(f"create {RUNS}20261124-{n:06d}-aaaaaa {commit}\n" for n in range(59))
    git("update-ref", "--stdin", input=lines, cwd=hand.root)
    as_terminal(monkeypatch)
    done = call("ls")
    assert len(done.stdout.splitlines()) == 51
    assert "10 older runs not shown" in done.stderr
    assert len(call("ls", "-n", "0").stdout.splitlines()) == 61


def test_columns_that_are_seldom_needed(hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hand.seal(OLD, group="sweep-7")
    hand.seal(NEW, links={"parent": OLD})
    as_terminal(monkeypatch, 120)
    monkeypatch.setenv("NO_COLOR", "1")
    header, child, parent = call("ls").stdout.splitlines()
    assert header.split()[:4] == ["RUN", "NAME", "GROUP", "PARENT"]
    assert child.split()[:2] == ["xyz333", "abc111"]
    assert parent.split()[:2] == ["abc111", "sweep-7"]
