"""The view of the file system in which a replay's command finds its checkout at the run's own place."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.replay import mounts
from gitrun.replay.mounts import Mount, refusal
from gitrun.replay.place import Place, Refused, Shown, alternates, hidden, make_place, may_have

needs_namespaces = pytest.mark.skipif(refusal([]) is not None, reason="no mount namespaces here")


def seen_inside(place: Place, look: Callable[[], str]) -> str:
    """What `look` answers in a process with this view."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            place.enter()
            os.write(writing, look().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@needs_namespaces
def test_what_is_needed_of_a_hidden_place_is_seen_and_nothing_else(tmp_path: Path) -> None:
    worktree, checkout = tmp_path / "repo", tmp_path / "repo/.git/gitrun/replays/x/repo"
    write(worktree / "train.py", "edited")
    write(worktree / ".venv/pyvenv.cfg", "venv")
    write(worktree / ".git/HEAD", "user's")
    write(checkout / "train.py", "recorded")
    write(checkout / ".git/HEAD", "own")
    there = tmp_path / "scratch/archive"
    there.mkdir(parents=True)
    shown = [
        Shown(str(checkout), str(worktree), is_needed=True),
        Shown(str(worktree / ".venv"), str(worktree / ".venv"), read_only=True),
        Shown(str(worktree / ".git"), str(there), read_only=True, is_needed=True),
        Shown(str(worktree / ".git/gitrun"), str(there / "gitrun"), is_needed=True),
        Shown(str(tmp_path / "gone"), str(tmp_path / "nowhere")),
    ]
    place = make_place(shown)
    assert isinstance(place, Place), place

    def look() -> str:
        found = [(worktree / name).read_text() for name in ("train.py", ".git/HEAD", ".venv/pyvenv.cfg")]
        found.append((there / "HEAD").read_text())
        (worktree / "written").write_text("")
        (there / "gitrun/mark").write_text("")
        for shut in (worktree / ".venv/x", there / "x"):
            try:
                shut.write_text("")
            except OSError:
                found.append("shut")
        return " ".join(found)

    assert seen_inside(place, look) == "recorded own venv user's shut shut"
    assert (worktree / "train.py").read_text() == "edited"
    assert not (worktree / "written").exists()
    assert (checkout / "written").exists() and (worktree / ".git/gitrun/mark").exists()
    assert place.seen(str(checkout / "a")) == str(worktree / "a")
    assert place.seen(str(worktree / ".git/gitrun/live/1")) == f"{there}/gitrun/live/1"
    assert place.seen("/etc/passwd") == "/etc/passwd"


@needs_namespaces
@pytest.mark.parametrize("way", ["link", "file", "linked above"])
def test_no_place_for_a_mount_is_made_through_what_the_source_has_there(tmp_path: Path, way: str) -> None:
    worktree, checkout, outside = tmp_path / "repo", tmp_path / "checkout", tmp_path / "outside"
    for directory in (worktree, checkout, outside):
        directory.mkdir()
    point = worktree / "a" / "b"
    point.mkdir(parents=True)
    if way == "file":
        write(checkout / "a/b", "source")
    elif way == "link":
        (checkout / "a").mkdir()
        (checkout / "a" / "b").symlink_to(outside)
    else:
        (checkout / "a").symlink_to(outside)
    place = make_place([Shown(str(checkout), str(worktree)), Shown(str(point), str(point), is_needed=True)])
    assert place == Refused(f"{point} cannot be shown")
    assert list(outside.iterdir()) == []


def test_a_recorded_path_that_climbs_out_has_nothing_made_for_it(tmp_path: Path) -> None:
    worktree, checkout, base = tmp_path / "repo", tmp_path / "checkout", tmp_path / "python"
    for directory in (worktree, checkout, base):
        directory.mkdir()
    climbing = f"{worktree}/../planted"
    place = make_place([Shown(str(checkout), str(worktree)), Shown(str(base), climbing, is_needed=True)])
    assert place == Refused(f"{climbing} cannot be shown")
    assert not (tmp_path / "planted").exists()


def test_places_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = str(tmp_path)
    for worktree in (None, "/", "/usr", "relative", str(tmp_path / "gone"), f"{tmp_path}/../x"):
        assert isinstance(may_have(worktree, empty), Refused), worktree
    monkeypatch.setattr(mounts.sys, "platform", "darwin")
    assert may_have(str(tmp_path), empty) == Refused("the system does not allow it: only Linux has mount namespaces")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_without_privileges_has_a_view_as_well(tmp_path: Path) -> None:
    base = Path("/var/tmp") / f"gitrun-test-{os.urandom(4).hex()}"
    try:
        for name in ("old", "new"):
            write(base / name / "x", name)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which an exec would have done
                place = Place((Shown(str(base / "new"), str(base / "old")),))
                said = refusal([Mount(str(base / "new"), str(base / "old"))])
                inside = seen_inside(place, lambda: f"{(base / 'old/x').read_text()} {os.getuid()} {os.getgid()}")
                os.write(writing, f"{said} {inside}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading) as answer:
            words = answer.read()
        if words.startswith(("no namespace", "Operation not permitted", "Permission denied")):
            pytest.skip(words)
        assert words == "None new 65534 65534"
    finally:
        for path in sorted(base.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        base.rmdir()


def test_borrowed_objects_that_would_be_hidden_are_lent_under_another_name(tmp_path: Path) -> None:
    worktree, scratch = tmp_path / "repo", tmp_path / "scratch"
    scratch.mkdir()
    git_dir = tmp_path / "checkout/.git"
    write(git_dir / "objects/info/alternates", f"{worktree}/.git/objects\n/somewhere/objects\n")
    lent, listing = alternates([(str(git_dir), f"{worktree}/.git")], [str(worktree)], str(scratch))
    assert lent == Shown(f"{worktree}/.git/objects", f"{scratch}/objects-0", read_only=True, is_needed=True)
    assert listing.seen == f"{worktree}/.git/objects/info/alternates"
    assert Path(listing.real).read_text() == f"{scratch}/objects-0\n/somewhere/objects\n"
    assert alternates([(str(tmp_path), str(tmp_path))], [str(worktree)], str(scratch)) == []


def test_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "top/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "top/below")
    tops = [str(tmp_path / "top")]
    assert [hidden(str(tmp_path / name), tops) for name in ("top", "top/x", "link", "topper")] == [True] * 3 + [False]
