"""`gitrun doctor` sees what is wrong with an archive, says what to type, and changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitrun.doctor.settings import VARIABLES
from gitrun.git.refs import LIVE, RUNS
from gitrun.model.canonical import encode
from gitrun.recording.liveness import make_header
from gitrun.store.blobs import BlobStore

A, B, C = "20261124-061246-abc111", "20261125-000000-xyz333", "20261126-000000-dddddd"


def checks(call: Callable[..., Any], code: int = 0) -> dict[str, list[tuple[str, str, str]]]:
    """State, sentence and advice of each check, by topic."""
    done = call("doctor", "--json")
    assert done.code == code, done.stderr + done.stdout
    report = done.json()
    assert report["ok"] is (code == 0)
    by_topic: dict[str, list[tuple[str, str, str]]] = {}
    for check in report["checks"]:
        assert check.keys() == {"topic", "state", "says", "next"}
        by_topic.setdefault(check["topic"], []).append((check["state"], check["says"], check["next"]))
    return by_topic


def all_below(directory: Path) -> dict[str, int]:
    found = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in found}


def test_an_archive_that_is_well(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(A)
    with BlobStore(hand.gitrun_dir).session() as session:
        session.put(b"x" * 5000)
        session.commit()
    before = all_below(hand.root)
    found = checks(call)
    assert {state for topic in found.values() for state, _, _ in topic} == {"ok"}
    assert found["runs"][0][1] == "1 run sealed"
    assert found["store"][0][1].startswith("1 pack, ")
    assert all_below(hand.root) == before
    assert call("doctor").stdout.splitlines()[-1] == "all works"


def test_runs_that_are_dead_or_elsewhere_are_told_and_left(hand: Any, call: Callable[..., Any]) -> None:
    dead = hand.live(A)
    header = {**make_header(hand.gitrun_dir), "recorder": {"pid": (1 << 22) - 1, "start": 1}}
    (dead / "members" / "0" / "header.json").write_bytes(encode(header))
    hand.live(B, host="node7")
    found = checks(call)["live"]
    assert (found[0][0], found[0][2]) == ("warn", f"if it is certainly dead: gitrun recover {B[-6:]} --force")
    assert found[1] == ("ok", "0 runs running here", "")
    assert (found[2][0], found[2][2]) == ("warn", "gitrun recover")
    assert dead.exists()


def test_what_killed_processes_left_behind(hand: Any, call: Callable[..., Any], git: Callable[..., Any]) -> None:
    hand.seal(A)
    live = hand.live(A)  # sealed, and its directory still there
    for name in (f"new-{B}", f"gone-{B}", f"damaged-{B}"):
        (live.parent / name).mkdir()
    git("update-ref", LIVE + C, "HEAD", cwd=hand.root)
    found = checks(call)["orphans"]
    assert found[0][0] == "warn" and f"damaged-{B}" in found[0][1]
    assert found[1] == ("warn", "live directories left over: 3; live refs of no live run: 1", "gitrun recover")


def test_foreign_refs_and_damaged_runs(hand: Any, call: Callable[..., Any], git: Callable[..., Any]) -> None:
    commit = hand.seal(A).commit
    git("update-ref", RUNS + C, commit, cwd=hand.root)
    git("update-ref", RUNS + "mine", "HEAD", cwd=hand.root)
    found = checks(call, code=1)
    assert found["refs"][0][0] == "warn" and "mine" in found["refs"][0][1]
    assert found["runs"][1][0] == "fail" and C in found["runs"][1][1]
    assert call("doctor").stdout.splitlines()[-1] == "1 thing not working"


@pytest.mark.parametrize("what", ["pack", "config"])
def test_a_damaged_store(hand: Any, call: Callable[..., Any], what: str) -> None:
    with BlobStore(hand.gitrun_dir).session() as session:
        session.put(b"x" * 5000)
        session.commit()
    if what == "pack":
        (pack,) = Path(hand.gitrun_dir, "store", "packs").rglob("*.gpk")
        pack.write_bytes(b"no pack at all, and long enough to be looked at as one")
    else:
        Path(hand.gitrun_dir, "config.json").write_bytes(b"{")
    states = [state for state, _, _ in checks(call, code=1)["store"]]
    assert "fail" in states


def test_settings_and_what_only_looks_like_one(
    hand: Any, call: Callable[..., Any], git: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (hand.root / ".gitrun.toml").write_text('[record]\nmax_files = 7\nmax_fils = 8\n[other]\ntool = "x"\n')
    git("config", "gitrun.record.warnfiles", "9", cwd=hand.root)
    git("config", "gitrun.record.wranfiles", "9", cwd=hand.root)
    monkeypatch.setenv("GITRUN_RECORD_GRACEE", "1")
    found = checks(call)["settings"]
    assert found[0][1].startswith("record.warn_files = 9 (git config), record.max_files = 7 (.gitrun.toml)")
    told = [says.split(" is no")[0] for _, says, _ in found[1:]]
    assert told == [
        "gitrun.record.wranfiles in git config",
        "GITRUN_RECORD_GRACEE in the environment",
        "record.max_fils in .gitrun.toml",
        "other.tool in .gitrun.toml",
    ]


@pytest.mark.parametrize(
    ("free", "names", "said"), [(1 << 20, 1 << 20, "stops capturing"), (1 << 40, 3, "only 3 more files")]
)
def test_a_full_disk(
    hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, free: int, names: int, said: str
) -> None:
    facts = SimpleNamespace(f_bavail=free, f_frsize=1, f_files=1 << 30, f_favail=names)
    monkeypatch.setattr(os, "statvfs", lambda path: facts)
    assert any(state == "warn" and said in says for state, says, _ in checks(call)["space"])


def test_bugs_that_were_logged(hand: Any, call: Callable[..., Any]) -> None:
    home = Path(hand.gitrun_dir, "log")
    home.mkdir()
    (home / "bug-20261124-000000-1.txt").write_text("Traceback")
    assert "bug-20261124-000000-1.txt" in checks(call)["bugs"][0][1]


def test_a_look_that_fails_does_not_end_the_examination(
    hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(archive: Any) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("gitrun.doctor.archive._live", broken)
    found = checks(call, code=1)
    assert found["live"] == [("fail", "a bug in gitrun: ZeroDivisionError: oh", "")]
    assert "space" in found


def test_no_repository(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for arguments in (("doctor",), ("doctor", "--record")):
        done = call(*arguments)
        assert (done.code, done.stdout) == (1, "")
        assert "no Git repository" in done.stderr


def test_every_documented_variable_is_known() -> None:
    page = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `GITRUN_")]
    assert set(re.findall(r"GITRUN_[A-Z_]+", "".join(rows))) == VARIABLES
