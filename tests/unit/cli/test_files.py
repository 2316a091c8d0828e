"""`artifacts` and `du` on a terminal, and where a run cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitrun.git.refs import RUNS as RUN_REFS
from gitrun.ui import terminal
from tests.entries import RUNS, line, seal

ONE, TWO, THREE = RUNS[:3]


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = terminal.Screen.__init__

    def init(self: terminal.Screen, stream: Any, environ: Any) -> None:
        real(self, stream, environ)
        self.is_terminal, self.colour = True, False

    monkeypatch.setattr(terminal.Screen, "__init__", init)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("on_a_terminal")
def test_artifacts_as_a_table(hand: Any, call: Callable[..., Any]) -> None:
    more = [line("in", kind="input", bytes=2048, reason="input", produced_by=ONE, evidence="observed")]
    seal(hand, TWO, {"a\x1b[31m": b"abc"}, more)
    done = call("artifacts", TWO)
    header, first, second = (row.split() for row in done.stdout.splitlines())
    assert header == ["KIND", "SIZE", "STORED", "EVIDENCE", "FROM", "PATH"]
    assert first == ["output", "3", "B", "yes", "scan", "a\\e[31m"]
    assert second == ["input", "2.0", "KiB", "input", "observed", "abc120", "in"]
    assert "1 file stored, 3 B; next: gitrun get abc121 PATH" in done.stderr


@pytest.mark.usefixtures("on_a_terminal")
def test_du_as_a_table(hand: Any, call: Callable[..., Any]) -> None:
    seal(hand, ONE, {"own": b"x" * 10, "both": b"y" * 20}, name="one")
    seal(hand, TWO, {"copy": b"y" * 20})
    done = call("du")
    header, two, one = (row.split() for row in done.stdout.splitlines())
    assert header == ["RUN", "NAME", "FILES", "BYTES", "STORED", "UNIQUE"]
    assert two == ["abc121", "1", "20", "B", "20", "B", "0", "B"]
    assert one == ["abc120", "one", "2", "30", "B", "30", "B", "10", "B"]
    assert "the store has" in done.stderr and "needed by nothing" not in done.stderr
    _, whole, *paths = (row.split() for row in call("du", ONE).stdout.splitlines())
    assert whole == ["abc120", "all", "30", "B", "30", "B", "10", "B"]
    assert paths == [
        ["abc120", "output", "20", "B", "20", "B", "0", "B", "both"],
        ["abc120", "output", "10", "B", "10", "B", "10", "B", "own"],
    ]


def test_a_run_that_cannot_be_read_keeps_du_from_nothing(
    hand: Any, call: Callable[..., Any], git: Callable[..., Any]
) -> None:
    seal(hand, ONE, {"own": b"x" * 10})
    git("update-ref", RUN_REFS + THREE, "HEAD", cwd=hand.root)
    told = {run["id"]: run for run in call("du", "--json").json()["runs"]}
    assert told[ONE]["unique_bytes"] == 10 and told[ONE]["problem"] is None
    assert THREE in told and told[THREE]["problem"]
    assert call("du").code == 0


def test_a_run_without_files(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(ONE)
    assert call("artifacts", ONE, "--json").json() == []
    assert call("artifacts", ONE).stdout == "" and "no files" in call("artifacts", ONE).stderr
    assert call("get", ONE, ".").code == 1
    assert call("du", ONE, "--json").json()["runs"][0]["paths"] == []
