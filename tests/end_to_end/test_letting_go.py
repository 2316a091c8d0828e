"""What runs take of the store, letting go of it, and the tag that protects."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.annotations import annotate
from gitrun.archive.since import DROP, STORED
from gitrun.git.objects import open_reader
from gitrun.store.blobs import BlobStore
from tests.conftest import Result
from tests.entries import RUNS, line, link, seal, seal_lines, stored
from tests.hand import Hand

Call = Callable[..., Result]
ONE, TWO, THREE = RUNS[:3]
SHARED, OWN, BIG = os.urandom(1 << 20), os.urandom(1 << 20), os.urandom(6 << 20)


@pytest.fixture
def two(hand: Hand) -> Hand:
    """Two runs that share a file, the first with files of its own as well."""
    seal(hand, ONE, {"out/shared": SHARED, "out/own": OWN, "out/big": BIG, "out/again": BIG}, [link("l", "out/own")])
    seal(hand, TWO, {"copy": SHARED}, [line("in", kind="input", bytes=len(OWN), reason="input")])
    return hand


def bulk(hand: Hand) -> int:
    return sum(path.stat().st_size for path in Path(hand.gitrun_dir, "store/packs").rglob("*.gpk"))


def say(hand: Hand, run_id: str, kind: str, body: Any, clone: str = "") -> None:
    """Say something of a run, as this clone or as another one."""
    home = os.path.join(hand.gitrun_dir, clone)
    os.makedirs(home, exist_ok=True)
    with open_reader(hand.repo) as reader:
        annotate(hand.repo, home, os.environ, reader, run_id, kind, body, [])


def test_du_tells_what_each_run_needs_and_what_it_needs_alone(two: Hand, call: Call) -> None:
    told = call("du", "--json").json()
    runs = {run["id"]: run for run in told["runs"]}
    assert [run["id"] for run in told["runs"]] == [TWO, ONE] and runs[ONE]["paths"] is None
    assert (runs[ONE]["files"], runs[ONE]["bytes"]) == (4, (2 << 20) + 2 * len(BIG))
    assert runs[TWO]["stored_bytes"] == runs[TWO]["shared_bytes"] and runs[TWO]["unique_bytes"] == 0
    assert runs[ONE]["shared_bytes"] == runs[TWO]["stored_bytes"] >= len(SHARED)
    assert len(OWN) + len(BIG) <= runs[ONE]["unique_bytes"] <= len(OWN) + len(BIG) + (1 << 16)
    assert told["store"]["bytes"] == bulk(two) and told["store"]["unneeded_bytes"] == 0


def test_du_of_a_run_tells_it_path_by_path(two: Hand, call: Call) -> None:
    (run,) = call("du", ONE, "--json").json()["runs"]
    paths = {path["path"]: path for path in run["paths"]}
    assert paths.keys() == {"out/shared", "out/own", "out/big", "out/again"}, "a link takes nothing"
    assert paths["out/own"]["unique_bytes"] == paths["out/own"]["stored_bytes"] == len(OWN)
    assert paths["out/shared"]["unique_bytes"] == 0 and paths["out/shared"]["shared_bytes"] == len(SHARED)
    assert paths["out/big"]["unique_bytes"] == 0, "the same content has another name in the same run"
    rows = [row.split("\t") for row in call("du", ONE).stdout.splitlines()]
    assert [row[4] for row in rows] == ["out/again", "out/big", "out/own", "out/shared"]
    assert all(row[0] == ONE and row[1:4] == list(map(str, _numbers(paths[row[4]]))) for row in rows)


def _numbers(path: dict[str, Any]) -> tuple[int, int, int]:
    return path["bytes"], path["stored_bytes"], path["unique_bytes"]


def test_a_run_whose_entries_cannot_be_read_hides_no_other(two: Hand, call: Call) -> None:
    seal_lines(two, THREE, [line("bad", sha256="none", stored=True)])
    done = call("du")
    rows = {row.split("\t")[0]: row for row in done.stdout.splitlines()}
    assert done.code == 0 and rows.keys() == {ONE, TWO, THREE}
    assert "is not what it should be" in rows[THREE] and "is not" not in rows[ONE]


def test_gc_names_the_run_whose_list_of_chunks_is_gone(two: Hand, call: Call) -> None:
    seal_lines(two, THREE, [line("large", sha256="1" * 64, bytes=5, stored=True, chunk_list="2" * 64)])
    done = call("gc")
    assert done.code == 5 and f"run {THREE}: what large needs is not known" in done.stderr
    assert "nothing was collected" in done.stderr


def test_what_du_calls_unique_is_what_goes_with_a_run(two: Hand, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before, unique = bulk(two), {run["id"]: run["unique_bytes"] for run in call("du", "--json").json()["runs"]}[ONE]
    assert call("rm", ONE).code == 0
    told = call("du", "--json").json()["runs"]
    assert {run["id"]: run["removed"] for run in told} == {ONE: True, TWO: False}, "in the trash it takes as much"
    monkeypatch.setenv("GITRUN_GC_GRACE", "0")
    assert call("gc").code == 0
    freed = before - bulk(two)
    assert unique <= freed <= unique + 4096, "and the frames of the records"


def test_dropped_content_goes_and_the_record_stays(two: Hand, call: Call, tmp_path: Path) -> None:
    before = {each["path"]: each for each in call("artifacts", ONE, "--json").json()}
    tried = call("drop", ONE, "--paths", "out/big", "--paths", "out/ag*", "--dry-run")
    assert tried.code == 0 and tried.stdout.splitlines() == ["out/again", "out/big"]
    assert {each["path"]: each for each in call("artifacts", ONE, "--json").json()} == before, "nothing was said yet"
    assert call("drop", ONE, "--paths", "out/big", "--paths", "out/ag*").stdout == tried.stdout
    after = {each["path"]: each for each in call("artifacts", ONE, "--json").json()}
    assert (after["out/big"]["stored"], after["out/big"]["reason"]) == (False, "dropped")
    assert {**after["out/big"], "stored": True, "reason": None} == before["out/big"], "digest and size are as they were"
    shown = {each["path"]: each for each in call("show", ONE, "--json").json()["artifacts"]}
    assert shown["out/big"]["reason"] == "dropped" and shown["out/own"]["stored"] is True
    full = bulk(two)
    assert call("gc").code == 0 and full - bulk(two) >= len(BIG)
    assert call("fsck", "--data").code == 0, "what was let go of is not missing"
    got = call("get", ONE, "out", "-o", str(tmp_path / "got"))
    assert got.code == 1 and "out/big: it was dropped; gitrun replay" in got.stderr
    assert sorted(os.listdir(tmp_path / "got/out")) == ["own", "shared"]
    assert call("drop", ONE, "--paths", "out/big").code == 1, "there is nothing of it left to drop"


def test_one_of_two_names_of_the_same_content_frees_nothing(two: Hand, call: Call, tmp_path: Path) -> None:
    assert call("drop", ONE, "--paths", "out/big", "--paths", "out/shared").code == 0
    before = bulk(two)
    assert call("gc").code == 0 and before - bulk(two) < 1 << 16
    assert call("get", ONE, "out/again", "-o", str(tmp_path)).code == 0
    assert call("get", TWO, "copy", "-o", str(tmp_path)).code == 0
    assert (tmp_path / "copy").read_bytes() == SHARED and (tmp_path / "out/again").read_bytes() == BIG


def test_who_has_only_read_a_file_does_not_keep_its_content(hand: Hand, call: Call) -> None:
    seal(hand, ONE, {"m": OWN})
    with hand.open() as archive:
        digest = archive.run(ONE).value("artifacts.jsonl")[0]["sha256"]  # type: ignore[union-attr]
    seal_lines(hand, TWO, [line("m", kind="input", sha256=digest, bytes=len(OWN), reason="input", produced_by=ONE)])
    assert call("drop", ONE, "--paths", "m").code == 0
    before = bulk(hand)
    assert call("gc").code == 0 and before - bulk(hand) >= len(OWN)


def test_content_that_is_stored_again_is_there_again(two: Hand, call: Call, tmp_path: Path) -> None:
    assert call("drop", ONE, "--paths", "out/own").code == 0
    assert call("gc").code == 0
    with BlobStore(two.gitrun_dir).session() as session:
        entry = stored(session, "out/own", OWN)
        session.commit()
        say(two, ONE, STORED, {key: entry[key] for key in ("path", "sha256", "bytes", "chunks")})
    assert call("gc").code == 0 and call("fsck").code == 0
    assert call("get", ONE, "out/own", "-o", str(tmp_path)).code == 0
    assert (tmp_path / "out/own").read_bytes() == OWN


def test_a_drop_by_another_clone_counts_as_well(two: Hand, call: Call) -> None:
    say(two, ONE, DROP, {"paths": ["out/own"]}, clone="elsewhere")
    by_path = {each["path"]: each for each in call("artifacts", ONE, "--json").json()}
    assert by_path["out/own"]["reason"] == "dropped"


def test_drop_refuses_what_it_cannot_do(two: Hand, call: Call) -> None:
    for words in (["--paths", "nothing"], ["--paths", "l"], []):
        assert call("drop", ONE, *words).code in (1, 2)
    two.live(THREE)
    assert call("drop", THREE, "--paths", "*").code == 1
    assert {each["stored"] for each in call("artifacts", ONE, "--json").json()} == {True}


def test_tags_are_given_found_and_taken_away(two: Hand, call: Call) -> None:
    seal(two, THREE, {}, tags=["own"])
    assert call("tag", THREE, "best", "of all").stdout == "own\nbest\nof all\n"
    assert call("tag", THREE, "best", "own", "--remove").stdout == "of all\n"
    assert call("tag", THREE).stdout == "of all\n"
    assert call("show", "tag:of all", "--json").json()["tags"] == ["of all"]
    assert call("show", "tag:own").code == 1
    assert {run["id"]: run["tags"] for run in call("ls", "--json").json()} == {THREE: ["of all"], TWO: [], ONE: []}
    assert [row.split("\t")[8] for row in call("ls").stdout.splitlines()] == ["of all", "", ""]
    assert call("tag", ONE, "best").code == 0 and call("tag", TWO, "best").code == 0
    several = call("show", "tag:best")
    assert several.code == 1 and ONE in several.stderr and TWO in several.stderr


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "x" * 300])
def test_a_text_that_is_no_tag(two: Hand, call: Call, name: str) -> None:
    assert call("tag", ONE, "good", name).code == 2
    assert call("tag", ONE).stdout == ""


def test_a_pinned_run_stays(two: Hand, call: Call) -> None:
    assert call("tag", ONE, "pin").code == 0
    for words in (["rm", ONE], ["rm", TWO, ONE], ["drop", ONE, "--paths", "*"]):
        done = call(*words)
        assert done.code == 1 and "is pinned" in done.stderr and "gitrun tag abc120 pin --remove" in done.stderr
    assert {run["id"] for run in call("ls", "--json").json()} == {ONE, TWO}, "none is removed where one is refused"
    assert {each["stored"] for each in call("artifacts", ONE, "--json").json()} == {True}
    assert call("tag", ONE, "pin", "--remove").code == 0
    assert call("rm", ONE).code == 0


def test_a_run_that_was_pinned_when_it_was_recorded_or_in_the_trash(
    two: Hand, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(two, THREE, {}, tags=["pin"])
    assert call("rm", THREE).code == 1
    assert call("rm", ONE).code == 0
    say(two, ONE, "tag", {"add": ["pin"], "remove": []}, clone="elsewhere")
    monkeypatch.setenv("GITRUN_GC_GRACE", "0")
    before = bulk(two)
    assert call("gc").code == 0 and bulk(two) == before
    assert call("undelete", ONE).code == 0


def test_what_was_said_and_cannot_be_read_stops_a_collection(two: Hand, call: Call, git: Callable[..., Result]) -> None:
    assert call("drop", ONE, "--paths", "out/own").code == 0
    ((name, tip),) = [
        ref.split()[::-1]
        for ref in git("for-each-ref", "--format=%(objectname) %(refname)", "refs/gitrun/annotations", cwd=two.root)
        .stdout.strip()
        .splitlines()
    ]
    blob = git("hash-object", "-w", "--stdin", cwd=two.root, input="{broken\n").stdout.strip()
    tree = git("ls-tree", "-r", tip, cwd=two.root).stdout
    assert f"runs/{ONE[:6]}/{ONE}.jsonl" in tree
    index = {"GIT_INDEX_FILE": str(two.root / ".git/another-index")}
    git("read-tree", tip, cwd=two.root, env=index)
    git("update-index", "--cacheinfo", f"100644,{blob},runs/{ONE[:6]}/{ONE}.jsonl", cwd=two.root, env=index)
    broken = git("write-tree", cwd=two.root, env=index).stdout.strip()
    commit = git("commit-tree", broken, "-p", tip, "-m", "x", cwd=two.root).stdout.strip()
    git("update-ref", name, commit, cwd=two.root)
    before = bulk(two)
    assert call("gc").code == 5 and bulk(two) == before
    shown = call("artifacts", ONE)
    assert shown.code == 0 and "W014" in shown.stderr
