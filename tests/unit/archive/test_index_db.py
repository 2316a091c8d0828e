"""The index: always what the archive says, whatever happens to its file and whoever else uses it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive import index_db
from gitrun.archive.archive import Archive
from gitrun.archive.columns import Facts
from gitrun.archive.keys import Key
from gitrun.archive.listing import Query, listing
from gitrun.archive.querying import Runs, ask
from gitrun.archive.seal import Part
from gitrun.archive.tagging import note, rename, tag
from gitrun.archive.trash import remove, undelete
from gitrun.errors import ExpressionError
from gitrun.git.refs import RUNS
from gitrun.model.canonical import encode

A, B, C = "20261124-061246-aaaaaa", "20261124-061247-bbbbbb", "20261124-061248-cccccc"


def metric(last: float, **more: float) -> dict[str, Any]:
    return {"count": 2, "first": last, "min": last, "max": last, "last": last, "last_step": 1, **more}


def config(**values: Any) -> dict[str, Part]:
    return {"config.json": Part(data=encode({"format": 1, "requires": [], "values": values, "provenance": {}}))}


@pytest.fixture
def three(hand: Any) -> Any:
    hand.seal(A, config(lr=0.1, data="x"), metrics={"loss": metric(0.5, min=0.2), "acc": metric(0.9)}, name="first")
    hand.seal(B, config(lr=0.01, data="x", fast=True), metrics={"loss": metric(0.1)}, tags=["best"])
    hand.seal(C, status="failed", exit={"code": 2, "signal": None})
    return hand


def answer(hand: Any, question: Callable[[Runs], Any]) -> Any:
    with hand.open() as archive:
        return ask(archive, question)


def select(hand: Any, text: str) -> list[str]:
    return [run_id[-6:] for run_id in answer(hand, lambda runs: runs.select(text))]


def index_file(world: Path) -> Path:
    (found,) = (world / "cache").rglob("index.db")
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs whose records are read for the index."""
    found: list[str] = []
    real = index_db.facts_of

    def facts_of(run: Any) -> Facts:
        found.append(run.id)
        return real(run)

    monkeypatch.setattr(index_db, "facts_of", facts_of)
    return found


def test_answers(three: Any) -> None:
    assert select(three, "metrics.loss < 0.3") == ["bbbbbb"]
    assert select(three, "min:metrics.loss < 0.3") == ["bbbbbb", "aaaaaa"]
    assert select(three, "config.lr == 0.1 or status == failed") == ["cccccc", "aaaaaa"]
    assert select(three, "exit == 2") == ["cccccc"]
    assert select(three, "config.fast") == ["bbbbbb"]
    assert select(three, "tag == best") == ["bbbbbb"]


def test_a_run_is_read_once(three: Any, reads: list[str]) -> None:
    select(three, "tag")
    assert sorted(reads) == [A, B, C]
    select(three, "tag")
    assert len(reads) == 3
    three.seal("20261124-061249-dddddd", tags=["new"])
    assert select(three, "tag") == ["dddddd", "bbbbbb"]
    assert len(reads) == 4


def test_removed_runs_go_and_come_back(three: Any) -> None:
    assert select(three, "metrics.acc > 0") == ["aaaaaa"]
    with three.open() as archive:
        remove(archive, A)
    with pytest.raises(ExpressionError, match=r"no run has metrics.acc"):
        select(three, "metrics.acc > 0")
    assert select(three, "id") == ["cccccc", "bbbbbb"]
    with three.open() as archive:
        undelete(archive, A)
    assert select(three, "metrics.acc > 0") == ["aaaaaa"]


def test_one_run_goes_and_another_comes_between_two_looks(hand: Any) -> None:
    hand.seal(A)
    assert select(hand, "id") == ["aaaaaa"]
    with hand.open() as archive:
        remove(archive, A)
    hand.seal(B, name="new")
    assert answer(hand, lambda runs: runs.rows([B], [Key("name")])) == [{"name": "new"}]


def test_what_is_said_of_a_run_counts_at_once(three: Any, reads: list[str]) -> None:
    select(three, "tag")
    del reads[:]
    with three.open() as archive:
        tag(archive, archive.run(A), add=["paper"])
        rename(archive, archive.run(A), "second")
        note(archive, archive.run(A), "look at this")
    assert select(three, "tag == paper and name == second and note ~ '*this'") == ["aaaaaa"]
    assert reads == [A]
    assert select(three, "name == first") == []
    assert len(reads) == 1


def test_a_run_whose_ref_is_another_commit_is_read_anew(three: Any, git: Callable[..., Any]) -> None:
    assert select(three, "status == failed") == ["cccccc"]
    other = git("rev-parse", RUNS + A, cwd=three.root).stdout.strip()
    git("update-ref", RUNS + C, other, cwd=three.root)
    assert select(three, "problem ~ 'E012*'") == ["cccccc"]
    assert select(three, "status == damaged") == ["cccccc"]


def test_a_damaged_run_is_looked_at_again(three: Any, git: Callable[..., Any]) -> None:
    commit = git("rev-parse", RUNS + A, cwd=three.root).stdout.strip()
    absent = "ab" * 20
    packed = three.root / ".git" / "packed-refs"
    loose = three.root / ".git" / RUNS / A
    text = packed.read_text() if packed.exists() else ""
    packed.write_text(text.replace(f"{commit} {RUNS}{A}", f"{absent} {RUNS}{A}"))
    if loose.exists():
        loose.write_text(absent + "\n")
    assert select(three, "status == damaged") == ["aaaaaa"]
    packed.write_text(text)
    if loose.exists():
        loose.write_text(commit + "\n")
    assert select(three, "status == damaged") == []
    assert select(three, "metrics.acc > 0") == ["aaaaaa"]


@pytest.mark.parametrize("harm", ["empty", "garbage", "half", "version", "table", "directory"])
def test_a_damaged_index_is_made_again(three: Any, world: Path, harm: str) -> None:
    assert select(three, "tag == best") == ["bbbbbb"]
    path = index_file(world)
    if harm == "version":
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    elif harm == "table":
        with sqlite3.connect(path) as database:
            database.execute("DROP TABLE facts")
        database.close()
    elif harm == "directory":
        path.unlink()
        path.mkdir()
    else:
        data = path.read_bytes()
        path.write_bytes({"empty": b"", "garbage": b"x" * len(data), "half": data[: len(data) // 2]}[harm])
    assert select(three, "config.lr == 0.01 and tag == best") == ["bbbbbb"]
    if harm != "directory":
        assert index_file(world).stat().st_size > 4096
        assert select(three, "config.lr == 0.01 and tag == best") == ["bbbbbb"]


def test_a_damaged_index_that_somebody_uses_is_left_to_him(three: Any, world: Path) -> None:
    select(three, "tag")
    path = index_file(world)
    with three.open() as archive:

        def while_open(index: index_db.Index) -> list[str]:
            path.write_bytes(b"x" * 8192)
            found = select(three, "tag == best")
            assert path.read_bytes() == b"x" * 8192
            return found

        index = index_db._open(str(path.parent))
        assert while_open(index) == ["bbbbbb"]
        index.close()
        assert archive.run_ids()
    assert select(three, "tag == best") == ["bbbbbb"]
    assert path.read_bytes()[:6] == b"SQLite"


def test_where_nothing_can_be_written_it_is_in_memory(three: Any, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (world / "file").write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "file"))
    assert select(three, "tag == best") == ["bbbbbb"]
    assert not list(world.rglob("index.db"))


def test_a_cache_inside_the_worktree_stays_out_of_it(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(three.root / "cache"))
    assert select(three, "tag == best") == ["bbbbbb"]
    assert not (three.root / "cache").exists()


def test_a_shared_file_system_gets_no_log_ahead(three: Any, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_db, "filesystem_of", lambda path: "nfs4")
    assert select(three, "tag == best") == ["bbbbbb"]
    assert index_file(world).read_bytes()[18:20] == b"\1\1"  # the file format versions: 2 is a log ahead
    monkeypatch.undo()


def test_two_archives_and_two_hosts_have_two(
    three: Any, world: Path, make_repo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    select(three, "tag")
    with Archive.open(str(make_repo(name="other")), os.environ) as archive:
        assert ask(archive, lambda runs: runs.ids) == []
    real = index_db.here
    monkeypatch.setattr(index_db, "here", lambda: real()._replace(host="another"))
    select(three, "tag")
    assert len(list((world / "cache").rglob("index.db"))) == 3


MANY = """
import os, sys
from gitrun.archive.archive import Archive
from gitrun.archive.querying import ask
for _ in range(6):
    with Archive.open(sys.argv[1], os.environ) as archive:
        found = ask(archive, lambda runs: runs.select("changes == 0"))
        assert len(found) >= 3, found
        assert len(found) == len(archive.run_ids()), (found, archive.run_ids())
"""


def test_many_processes_while_runs_come_go_and_the_file_is_deleted(three: Any, world: Path) -> None:
    others = [subprocess.Popen([sys.executable, "-c", MANY, str(three.root)]) for _ in range(4)]
    for number in range(10):
        three.seal(f"20261124-0613{number:02d}-dddddd")
        if number == 5:
            for path in (world / "cache").rglob("index.db*"):
                path.unlink(missing_ok=True)
    assert [other.wait(timeout=120) for other in others] == [0] * 4
    assert len(select(three, "changes == 0")) == 13


def test_a_writer_with_older_knowledge_does_not_win(three: Any) -> None:
    """Two processes read what was said at different times; the one that writes last may know less."""
    select(three, "tag")
    with three.open() as old:
        old.sealed()
        assert old.objects.annotations.tips() == {}
        with three.open() as new:
            tag(new, new.run(A), add=["later"])
        three.seal("20261124-061250-eeeeee")
        assert select(three, "tag == later") == ["aaaaaa"]
        ask(old, lambda runs: runs.ids)  # writes with its older knowledge
    assert select(three, "tag == later") == ["aaaaaa"]


def test_live_runs_are_laid_over(three: Any) -> None:
    three.live("20261124-061300-zzzzzz", name="now", started_at="2026-11-24T06:13:00.000000Z")
    assert select(three, "status == running and name == now") == ["zzzzzz"]
    assert answer(three, lambda runs: runs.ids)[0].endswith("zzzzzz")
    found = answer(three, lambda runs: listing(runs, Query(limit=1), ["id", "status", "tag"]))
    assert found.rows == [{"id": "20261124-061300-zzzzzz", "status": "running", "tag": []}]
    assert found.hidden == 3


def test_unknown_keys_list_near_ones(three: Any) -> None:
    for text, near in {
        "metrics.los < 1": "metrics.loss",
        "loss < 1": "metrics.loss",
        "config.lrr == 1": "config.lr",
        "stat == failed": "status",
        "min:metrics.los < 1": "min:metrics.loss",
    }.items():
        with pytest.raises(ExpressionError, match=near) as raised:
            select(three, text)
        assert raised.value.at == 0
    with pytest.raises(ExpressionError, match="of metrics alone"):
        select(three, "min:config.lr < 1")


def test_a_short_key_stands_for_the_only_one(hand: Any) -> None:
    hand.seal(A, config(lr=1, loss="mse"), metrics={"loss": metric(1.0), "acc": metric(1.0)})
    named = lambda text: answer(hand, lambda runs: str(runs.key(text)))  # noqa: E731
    assert named("lr") == "config.lr"
    assert named("acc") == "metrics.acc"
    assert named("min:loss") == "min:metrics.loss"
    with pytest.raises(ExpressionError, match=r"metrics\.loss|config\.loss"):
        named("loss")


def test_values_of_every_kind_come_back(hand: Any) -> None:
    values = {
        "text": "é\x1b[31m",
        "long": "x" * 5000,
        "whole": 2**70,
        "nan": float("nan"),
        "inf": float("inf"),
        "no": False,
        "none": None,
        "list": [1, "a", None],
        "nul": "a\0b",
    }
    hand.seal(A, config(**values), metrics={"m": metric(float("nan")), "huge": metric(10**400)})

    def read(runs: Runs) -> dict[str, Any]:
        return {key: runs.column(Key(key)).get(A) for key in runs.known_keys()}

    found = answer(hand, read)
    assert found["config.text"] == "é\\e[31m"
    assert len(found["config.long"]) <= 1001
    assert found["config.whole"] == 2**70
    assert found["config.nan"] != found["config.nan"]
    assert found["config.inf"] == float("inf")
    assert (found["config.no"], found["config.none"], found["config.list"]) == (False, None, [1, "a", None])
    assert found["config.nul"] == "a\\x00b"
    assert found["metrics.m"] != found["metrics.m"]
    assert found["metrics.huge"] == float("inf")
