"""Wrappers: the same tree on another base, the same commit on every machine; with git and without."""

from __future__ import annotations

from pathlib import Path

from gitrun.git.objects import open_reader
from gitrun.git.repository import Repository
from gitrun.git.transport_quarantine import Quarantine
from gitrun.git.trees import parse_commit, with_parents
from gitrun.remote.history import is_ancestor, lacking, nearest, present
from gitrun.remote.known import Known, runs_in
from gitrun.remote.wrapping import Parcel, read_commits, wrap
from tests.git_support import add_run, both_ways, git, init, opened, run_id


def commits(root: Path, count: int) -> list[str]:
    made = []
    for n in range(count):
        git("commit", "-q", "--allow-empty", "-m", f"c{n}", cwd=root, GIT_COMMITTER_DATE=f"{1_000_000_000 + n} +0000")
        made.append(git("rev-parse", "HEAD", cwd=root).decode().strip())
    return made


@both_ways
def test_questions_about_history(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    one, two, three = commits(root, 3)
    git("checkout", "-q", "-b", "side", one, cwd=root)
    (side,) = commits(root, 1)
    repo = opened(root, way)
    with open_reader(repo) as reader:
        assert set(lacking(repo, reader, [three], [one])) == {two, three}
        assert set(lacking(repo, reader, [three, side], [two])) == {three, side}
        assert lacking(repo, reader, [one], [three]) == [] == lacking(repo, reader, [], [three])
        assert nearest(repo, reader, three, [two, side]) == two
        assert nearest(repo, reader, three, [side]) == one
        assert nearest(repo, reader, one, [three]) == one
        assert nearest(repo, reader, three, []) is None
        assert is_ancestor(repo, reader, one, three) and not is_ancestor(repo, reader, three, side)
        assert present(repo, reader, [one, "0" * 40, three]) == [one, three]


def wrapped(repo: Repository, run: str, tips: list[str]) -> tuple[Parcel, bytes]:
    with open_reader(repo) as reader, Quarantine(repo, repo.gitrun_dir({})) as place:
        read, broken = read_commits(reader, {run_id(1): run})
        assert not broken
        base = read[run_id(1)].base
        assert base is not None
        private = lacking(repo, reader, [base], tips)
        writer = place.writer()
        (parcel,) = wrap(repo, reader, {run_id(1): run}, read, private, tips, writer)
        writer.finish(sync=False)
        with open_reader(place.repo) as inside:
            return parcel, inside.read(parcel.sent)[1]


@both_ways
def test_a_run_on_private_work_stands_on_the_nearest_public_commit(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    one, two, three = commits(root, 3)
    repo = opened(root, way)
    snapshot, _ = add_run(repo, 1, parent=three)
    run, _ = add_run(repo, 2, parent=snapshot)
    parcel, data = wrapped(repo, run, [two])
    assert parcel.is_wrapped and parcel.base == two and parcel.sent != run
    with open_reader(repo) as reader:
        mine = parse_commit(reader.read(run)[1])
    assert parse_commit(data)._replace(parents=()) == mine._replace(parents=())
    assert wrapped(repo, run, [two])[0] == parcel  # each time the same
    alone, data = wrapped(repo, run, [])
    assert alone.base is None and alone.is_wrapped
    own, _ = wrapped(repo, run, [three])
    assert (own.sent, own.base, own.is_wrapped) == (run, three, False)
    assert one not in (parcel.base, alone.base)


def test_runs_whose_commits_cannot_be_read_are_told(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    tree = git("rev-parse", "HEAD^{tree}", cwd=root).decode().strip()
    orphan, _ = add_run(repo, 1)
    with open_reader(repo) as reader:
        read, broken = read_commits(reader, {run_id(1): tree, run_id(2): "0" * 40, run_id(3): orphan})
    assert set(broken) == {run_id(1), run_id(2)} and read[run_id(3)].base is None


def test_a_commit_on_other_parents_loses_its_signature() -> None:
    data = (
        b"tree " + b"1" * 40 + b"\nparent " + b"2" * 40 + b"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
        b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n"
        b"encoding x\n\nsubject\n\nparent z\n"
    )
    assert with_parents(data, ["3" * 40]) == (
        b"tree " + b"1" * 40 + b"\nparent " + b"3" * 40 + b"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
        b"encoding x\n\nsubject\n\nparent z\n"
    )


def test_what_is_known_of_a_remote_is_a_cache(tmp_path: Path) -> None:
    name = f"refs/gitrun/runs/{run_id(1)}"
    known = Known(str(tmp_path), "k")
    assert known.refs() == {} and not known.is_there
    known.note({name: "1" * 40})
    Known(str(tmp_path), "k").note({"refs/gitrun/annotations/w": "2" * 40})
    assert Known(str(tmp_path), "k").refs() == {name: "1" * 40, "refs/gitrun/annotations/w": "2" * 40}
    assert runs_in(Known(str(tmp_path), "k").refs()) == {run_id(1): "1" * 40}
    path = tmp_path / "cache/remotes/k"
    path.write_text(f"{'1' * 40} {name}\nrubbish\nzz {name}\n\n")
    assert runs_in(Known(str(tmp_path), "k").refs()) == {}
    path.unlink()
    path.mkdir()
    Known(str(tmp_path), "k").note({name: "1" * 40})  # nowhere to write: nothing fails
