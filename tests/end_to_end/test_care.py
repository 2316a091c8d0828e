"""Taking care of an archive: removing runs and having them back, collecting, checking, mending."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.store.pack import PackWriter
from tests.conftest import Result

Gitrun = Callable[..., Result]
NOW = {"GITRUN_GC_GRACE": "0"}


@pytest.fixture
def repo(make_repo: Callable[..., Path], gitrun: Gitrun) -> Path:
    """A repository with two runs, each of which stored a large file of its own."""
    root = make_repo()
    for n in range(2):
        (root / "large.bin").write_bytes(os.urandom(3 << 20))
        assert (
            gitrun("record", "-n", f"run{n}", "--", "true", cwd=root, env={"GITRUN_RECORD_LARGE_FILE": "1M"}).code == 0
        )
    (root / "large.bin").unlink()
    return root


def packs(root: Path) -> list[Path]:
    return sorted((root / ".git/gitrun/store/packs").rglob("*.gpk"))


def size(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / ".git/gitrun/store").rglob("*.gpk"))


def names(root: Path, gitrun: Gitrun) -> set[str]:
    return {run["name"] for run in json.loads(gitrun("ls", "--json", cwd=root).stdout)}


def test_a_removed_run_comes_back_whole(repo: Path, gitrun: Gitrun, tmp_path: Path) -> None:
    assert gitrun("rm", "run0", cwd=repo).code == 0
    assert names(repo, gitrun) == {"run1"}
    assert gitrun("gc", cwd=repo).code == 0 and len(packs(repo)) == 2
    listed = gitrun("undelete", cwd=repo).stdout.split()
    assert len(listed) == 1
    assert gitrun("undelete", listed[0][-6:], cwd=repo).code == 0
    assert names(repo, gitrun) == {"run0", "run1"}
    assert gitrun("checkout", "run0", str(tmp_path / "out"), cwd=repo).code == 0
    assert (tmp_path / "out/large.bin").stat().st_size == 3 << 20


def test_one_unknown_run_and_none_is_removed(repo: Path, gitrun: Gitrun) -> None:
    assert gitrun("rm", "run0", "nosuchrun", cwd=repo).code == 1
    assert names(repo, gitrun) == {"run0", "run1"}


def test_what_is_told_is_freed(repo: Path, gitrun: Gitrun, tmp_path: Path) -> None:
    gitrun("rm", "run0", cwd=repo)
    before = size(repo)
    told = gitrun("gc", "--dry-run", cwd=repo, env=NOW)
    assert "1 removed run would be let go of, 3.0 MiB would be freed" in told.stderr and size(repo) == before
    done = gitrun("gc", cwd=repo, env=NOW)
    assert done.code == 0 and "3.0 MiB freed" in done.stderr
    assert before - size(repo) == pytest.approx(3 << 20, rel=0.01)
    assert gitrun("undelete", cwd=repo).stdout == ""
    assert gitrun("fsck", "--data", cwd=repo).code == 0
    assert gitrun("checkout", "run1", str(tmp_path / "out"), cwd=repo).code == 0


def test_a_pack_with_little_left_is_written_again(
    make_repo: Callable[..., Path], gitrun: Gitrun, tmp_path: Path
) -> None:
    root = make_repo()
    (root / "kept.bin").write_bytes(kept := os.urandom(1 << 20))
    (root / "gone.bin").write_bytes(os.urandom(4 << 20))
    large = {"GITRUN_RECORD_LARGE_FILE": "512k"}
    gitrun("record", "-n", "both", "--", "true", cwd=root, env=large)
    (root / "gone.bin").unlink()
    gitrun("record", "-n", "one", "--", "true", cwd=root, env=large)
    gitrun("rm", "both", cwd=root)
    assert gitrun("gc", cwd=root, env=NOW).code == 0
    assert size(root) == pytest.approx(1 << 20, rel=0.01)
    assert gitrun("checkout", "one", str(tmp_path / "out"), cwd=root).code == 0
    assert (tmp_path / "out/kept.bin").read_bytes() == kept


def test_nothing_is_collected_where_a_record_cannot_be_read(
    repo: Path, gitrun: Gitrun, git: Callable[..., Result]
) -> None:
    gitrun("rm", "run0", cwd=repo)
    git("update-ref", "refs/gitrun/runs/20200101-000000-aaaaaa", "HEAD", cwd=repo)
    before = packs(repo)
    done = gitrun("gc", cwd=repo, env=NOW)
    assert done.code == 5 and "aaaaaa" in done.stderr
    assert packs(repo) == before


def test_a_snapshot_keeps_its_blobs(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    root = make_repo()
    (root / "large.bin").write_bytes(os.urandom(2 << 20))
    frozen = gitrun("snapshot", cwd=root, env={"GITRUN_RECORD_LARGE_FILE": "1M"}).stdout.strip()
    (root / "large.bin").unlink()
    assert gitrun("gc", cwd=root, env=NOW).code == 0
    assert gitrun("record", "--at", frozen, "--", "test", "-s", "large.bin", cwd=root).code == 0


def test_damage_is_found_put_aside_and_healed(repo: Path, gitrun: Gitrun, tmp_path: Path) -> None:
    whole = packs(repo)[0]
    out = tmp_path / "out"
    damaged = next(name for name in ("run0", "run1") if stored_in(repo, gitrun, name, whole))
    assert gitrun("checkout", damaged, str(out), cwd=repo).code == 0
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    whole.chmod(0o644)
    whole.write_bytes(data)
    assert gitrun("fsck", cwd=repo).code == 0  # it looks at frames alone
    found = gitrun("fsck", "--data", "--json", cwd=repo)
    assert found.code == 5
    answer = json.loads(found.stdout)
    assert not answer["ok"] and [each["code"] for each in answer["problems"]] == ["E025"]
    assert len(answer["problems"][0]["runs"]) == 1
    assert gitrun("fsck", "--repair", cwd=repo).code == 5
    missing = json.loads(gitrun("fsck", "--json", cwd=repo).stdout)
    assert [each["code"] for each in missing["problems"]] == ["E034"]
    (repo / "large.bin").write_bytes((out / "large.bin").read_bytes())
    gitrun("record", "--", "true", cwd=repo, env={"GITRUN_RECORD_LARGE_FILE": "1M"})
    assert gitrun("fsck", "--data", cwd=repo).code == 0


def stored_in(root: Path, gitrun: Gitrun, name: str, pack: Path) -> bool:
    """Whether a run's large file lies in this pack."""
    out = root.parent / f"look-{name}"
    assert gitrun("checkout", name, str(out), cwd=root).code == 0
    content = (out / "large.bin").read_bytes()
    return content[:1000] in pack.read_bytes()


def test_the_store_may_lie_on_another_disk(make_repo: Callable[..., Path], gitrun: Gitrun, tmp_path: Path) -> None:
    root, env = make_repo(), {"GITRUN_STORE_PATH": str(tmp_path / "disk"), "GITRUN_RECORD_LARGE_FILE": "512k"}
    (root / "large.bin").write_bytes(content := os.urandom(1 << 20))
    assert gitrun("record", "-n", "far", "--", "true", cwd=root, env=env).code == 0
    assert list((tmp_path / "disk").rglob("*.gpk")) and (root / ".git/gitrun/store").is_symlink()
    (root / "large.bin").unlink()
    assert gitrun("checkout", "far", str(tmp_path / "out"), cwd=root).code == 0  # whoever reads need not be told
    assert (tmp_path / "out/large.bin").read_bytes() == content
    assert gitrun("fsck", "--data", cwd=root).code == 0 and gitrun("gc", cwd=root).code == 0


def test_a_session_that_nobody_can_prove_dead_keeps_the_trash(
    repo: Path, gitrun: Gitrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitrun.archive import gc as room
    from gitrun.archive.archive import Archive

    monkeypatch.setattr(room, "WAIT_S", 0.0)
    gitrun("rm", "run0", cwd=repo)
    session = repo / ".git/gitrun/store/sessions/0123456789abcdef"
    session.parent.mkdir(exist_ok=True)
    session.write_text('{"format":1,"requires":[],"host_id":"elsewhere","boot_id":"b","pid_namespace":"n"}\n')
    before = size(repo)
    with Archive.open(str(repo), {**os.environ, **NOW}) as archive:
        assert room.gc(archive).done.waiting == [session.name]
    assert size(repo) == before and len(packs(repo)) == 1, "one pack is in the trash, and not deleted"
    done = gitrun("gc", "--end-session", session.name, cwd=repo, env=NOW)
    assert done.code == 0 and size(repo) < before - (2 << 20)
    assert gitrun("gc", "--end-session", session.name, cwd=repo).code == 1, "there is no such session any more"


def test_a_repair_keeps_what_a_later_gitrun_wrote(repo: Path, gitrun: Gitrun) -> None:
    """A blob in an encoding that is not known here is copied as it is; a pack of a later format stays in its place."""
    store = repo / ".git/gitrun/store"
    made = io.BytesIO()
    writer = PackWriter(made.write)
    for codec, content in ((9, b"later" * 20), (0, b"whole" * 20)):
        writer.add(hashlib.sha256(content).digest(), codec, len(content), content)
    name = writer.finish()
    (store / "packs" / name[:2]).mkdir(exist_ok=True)
    damaged = bytearray(made.getvalue())
    damaged[-1] ^= 1  # the trailer alone
    (store / "packs" / name[:2] / f"{name}.gpk").write_bytes(damaged)
    later = store / "packs/ab" / f"ab{'0' * 62}.gpk"
    later.parent.mkdir(exist_ok=True)
    later.write_bytes(b"GITRUNPK\x02\0\0\0\0\0\0\0" + bytes(100))
    found = {each["code"] for each in json.loads(gitrun("fsck", "--repair", "--json", cwd=repo).stdout)["problems"]}
    assert found == {"E021", "E023", "W036"} and later.exists()
    assert [path.stem for path in (store / "quarantine").iterdir()] == [name]
    assert sum(b"later" * 20 in path.read_bytes() for path in packs(repo)) == 1


def test_a_store_whose_disk_is_missing_is_one_error(
    make_repo: Callable[..., Path], gitrun: Gitrun, tmp_path: Path
) -> None:
    root, env = make_repo(), {"GITRUN_STORE_PATH": str(tmp_path / "disk"), "GITRUN_RECORD_LARGE_FILE": "512k"}
    (root / "large.bin").write_bytes(os.urandom(1 << 20))
    assert gitrun("record", "--", "true", cwd=root, env=env).code == 0
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    done = gitrun("fsck", cwd=root)
    assert done.code == 1 and "the store is not there" in done.stderr and done.stdout == ""


def test_two_collectors_do_not_meet(repo: Path, gitrun: Gitrun) -> None:
    import fcntl

    with open(repo / ".git/gitrun/gc.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = gitrun("gc", cwd=repo)
    assert done.code == 1 and "another gitrun gc" in done.stderr
