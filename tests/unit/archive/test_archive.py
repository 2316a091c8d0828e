"""Reading many runs: order, damage that stays where it is, and refs that are no runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.seal import Part
from gitrun.errors import DamagedRecord, NewerFormat, NotARepository
from gitrun.git.refs import RUNS
from gitrun.model.canonical import MAX_BYTES, encode

FIRST, SECOND, THIRD = "20261124-061246-aaaaa1", "20261124-061247-aaaaa2", "20261125-000000-aaaaa3"


def ids(archive: Any) -> list[str]:
    return [run.id for run in archive.newest_first()]


def replace(hand: Any, git: Callable[..., Any], run_id: str, name: str, data: bytes) -> None:
    """Point a run's ref at a commit whose tree has `name` replaced."""
    ref = RUNS + run_id
    blob = git("hash-object", "-w", "--stdin", input=data, cwd=hand.root).stdout.strip()
    lines = git("ls-tree", ref, cwd=hand.root).stdout.splitlines()
    kept = [line for line in lines if not line.endswith("\t" + name)]
    listing = "\n".join([*kept, f"100644 blob {blob}\t{name}"]) + "\n"
    tree = git("mktree", input=listing, cwd=hand.root).stdout.strip()
    message = git("log", "-1", "--format=%B", ref, cwd=hand.root).stdout
    commit = git("commit-tree", tree, "-F", "-", input=message, cwd=hand.root).stdout.strip()
    git("update-ref", ref, commit, cwd=hand.root)


def test_newest_first_by_start_within_one_second(hand: Any) -> None:
    for suffix, micros in (("zzzzzz", "000001"), ("000000", "000003"), ("mmmmmm", "000002")):
        hand.seal(f"20261124-061246-{suffix}", started_at=f"2026-11-24T06:12:46.{micros}Z")
    hand.seal(THIRD)
    with hand.open() as archive:
        assert [run_id[-6:] for run_id in ids(archive)] == ["aaaaa3", "000000", "mmmmmm", "zzzzzz"]


def test_many_runs_come_in_chunks_and_in_order(hand: Any, git: Callable[..., Any]) -> None:
    commit = hand.seal(FIRST).commit
    names = [f"20261124-{n // 60:06d}-{n:06d}" for n in range(900)]
    lines = "".join(f"create {RUNS}{name} {commit}\n" for name in names)
    git("update-ref", "--stdin", input=lines, cwd=hand.root)
    with hand.open() as archive:
        listed = ids(archive)
        assert len(listed) == 901
        assert sorted(listed) == sorted([FIRST, *names])
        assert [name[:15] for name in listed] == sorted((name[:15] for name in listed), reverse=True)


def test_a_commit_that_is_another_run_is_damage(hand: Any, git: Callable[..., Any]) -> None:
    commit = hand.seal(FIRST).commit
    git("update-ref", RUNS + SECOND, commit, cwd=hand.root)
    with hand.open() as archive:
        problems = {run.id: run.problem for run in archive.newest_first()}
        assert problems[FIRST] is None
        assert problems[SECOND].code == "E012"


@pytest.mark.parametrize("program", ["git", "none"])
@pytest.mark.parametrize("damage", [b"garbage", b"", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_corrupt_commit_leaves_the_others_readable(
    hand: Any, git: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, program: str, damage: bytes
) -> None:
    monkeypatch.setenv("GITRUN_GIT_EXECUTABLE", program)
    hand.seal(FIRST)
    hand.seal(THIRD)
    commit = git("commit-tree", f"{RUNS}{FIRST}^{{tree}}", "-m", "x", cwd=hand.root).stdout.strip()
    git("update-ref", RUNS + SECOND, commit, cwd=hand.root)
    path = Path(hand.repo.objects_dir, commit[:2], commit[2:])
    path.chmod(0o644)
    path.write_bytes(damage)
    with hand.open() as archive:
        runs = {run.id: run for run in archive.newest_first()}
        assert list(runs) == [THIRD, SECOND, FIRST]
        assert runs[SECOND].problem.code == "E010"
        assert runs[FIRST].to_json()["id"] == FIRST
        with pytest.raises(DamagedRecord, match="missing or unreadable"):
            _ = runs[SECOND].record


def test_a_part_that_was_exchanged_is_damage(hand: Any, git: Callable[..., Any]) -> None:
    hand.seal(FIRST, {"config.json": Part(b'{"values":{"lr":1}}\n')})
    replace(hand, git, FIRST, "config.json", b'{"values":{"lr":2}}\n')
    with hand.open() as archive:
        run = archive.run(FIRST)
        with pytest.raises(DamagedRecord):
            run.part("config.json")
        with pytest.raises(DamagedRecord):
            run.to_json()


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"not json", b'{"format":1}', b'{"format":"1","id":3}'])
def test_a_run_json_that_is_none_is_damage(hand: Any, git: Callable[..., Any], body: bytes) -> None:
    hand.seal(FIRST)
    replace(hand, git, FIRST, "run.json", body)
    with hand.open() as archive, pytest.raises(DamagedRecord):
        archive.run(FIRST).to_json()


def test_a_later_format_is_listed_and_refused(hand: Any, git: Callable[..., Any]) -> None:
    hand.seal(FIRST)
    hand.seal(SECOND, format=99, requires=["quantum"])
    with hand.open() as archive:
        runs = list(archive.newest_first())
        assert [run.problem and run.problem.code for run in runs] == ["W012", None]
        with pytest.raises(NewerFormat, match="later gitrun"):
            runs[0].to_json()


def test_a_commit_in_another_wrapper_is_the_same_run(hand: Any, git: Callable[..., Any]) -> None:
    hand.seal(FIRST, name="baseline")
    tree = git("rev-parse", f"{RUNS}{FIRST}^{{tree}}", cwd=hand.root).stdout.strip()
    commit = git("commit-tree", tree, "-m", "made again elsewhere", cwd=hand.root).stdout.strip()
    git("update-ref", RUNS + FIRST, commit, cwd=hand.root)
    with hand.open() as archive:
        run = next(archive.newest_first())
        assert run.summary.name == "baseline"
        assert run.problem is None
        assert run.snapshot is None


def test_foreign_refs_are_named_and_left_alone(hand: Any, git: Callable[..., Any]) -> None:
    hand.seal(FIRST)
    for name in ("mine", "20261124-061246-ILLEGAL", "deep/er"):
        git("update-ref", RUNS + name, "HEAD", cwd=hand.root)
    with hand.open() as archive:
        assert ids(archive) == [FIRST]
        assert sorted(ref.name.removeprefix(RUNS) for ref in archive.foreign_refs()) == [
            "20261124-061246-ILLEGAL",
            "deep/er",
            "mine",
        ]


def test_records_are_read_ahead_with_their_parts(hand: Any) -> None:
    for number in range(5):
        hand.seal(f"20261124-06124{number}-aaaaaa", {"config.json": Part(encode({"values": {"n": number}}))})
    with hand.open() as archive:
        runs = list(archive.with_records(archive.newest_first(), ("config.json",)))
        archive.objects.close()
        assert [run.to_json(full=False)["config"]["values"]["n"] for run in runs] == [4, 3, 2, 1, 0]
        assert archive.objects._reader is None, "something was read that should have been at hand"


def test_a_bare_repository_can_be_read(hand: Any, git: Callable[..., Any], tmp_path: Path) -> None:
    hand.seal(FIRST)
    git("clone", "-q", "--mirror", str(hand.root), str(tmp_path / "bare"))
    from gitrun.archive.archive import Archive

    with Archive.open(str(tmp_path / "bare"), os.environ) as archive:
        assert ids(archive) == [FIRST]


def test_no_repository(tmp_path: Path) -> None:
    from gitrun.archive.archive import Archive

    with pytest.raises(NotARepository):
        Archive.open(str(tmp_path), os.environ)


def test_gitrun_archive_wins(hand: Any, make_repo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    hand.seal(FIRST)
    elsewhere = make_repo(name="elsewhere")
    monkeypatch.setenv("GITRUN_ARCHIVE", str(hand.root))
    from gitrun.archive.archive import Archive

    with Archive.open(str(elsewhere), os.environ) as archive:
        assert ids(archive) == [FIRST]
        assert archive.here is not None
        assert archive.here.worktree == str(elsewhere)
    with Archive.open("/", os.environ) as archive:
        assert ids(archive) == [FIRST]
        assert archive.here is None


def test_a_record_too_big_for_one_is_damage_and_costs_the_others_nothing(hand: Any, git: Callable[..., Any]) -> None:
    for run_id in (FIRST, SECOND, THIRD):
        hand.seal(run_id)
    replace(hand, git, SECOND, "run.json", b" " * (MAX_BYTES + 1))
    with hand.open() as archive:
        runs = {run.id: run for run in archive.with_records(archive.newest_first())}
        assert runs[SECOND].problem.code == "E011"
        assert runs[FIRST].record["id"] == FIRST and runs[THIRD].record["id"] == THIRD
        with pytest.raises(DamagedRecord, match="too big"):
            _ = runs[SECOND].record


def test_what_is_not_read_ahead_is_read_when_it_is_asked_for(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitrun.archive.objects._AHEAD_BYTES", 20)
    hand.seal(FIRST, {"config.json": Part(b'{"values":{"lr":1}}\n')})
    hand.seal(SECOND, {"config.json": Part(b"{}\n")})
    with hand.open() as archive:
        runs = archive.with_records(archive.newest_first(), ("config.json",))
        assert [run.value("config.json") for run in runs] == [{}, {"values": {"lr": 1}}]


def test_a_json_part_that_claims_more_than_json_may_have_is_not_fetched(hand: Any, git: Callable[..., Any]) -> None:
    hand.seal(FIRST)
    with hand.open() as archive:
        record = archive.run(FIRST).record
    place = {"in": "store", "bytes": MAX_BYTES + 1, "chunks": [["ab" * 32, 1]], "sha256": "ab" * 32}
    replace(hand, git, FIRST, "run.json", encode({**record, "parts": {"config.json": place}}))
    with hand.open() as archive, pytest.raises(DamagedRecord, match="more than JSON may have"):
        archive.run(FIRST).value("config.json")
