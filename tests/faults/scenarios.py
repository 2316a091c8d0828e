"""What gitrun is doing when the fault comes: each on a repository of its own, and each can simply be done again.

A scenario says by `told` what it may rely on from then on: a blob of a committed session, a sealed run, an annotation.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from gitrun.archive import trash
from gitrun.archive.annotations import annotate
from gitrun.archive.archive import Archive
from gitrun.archive.fsck import fsck
from gitrun.archive.gc import gc
from gitrun.archive.seal import Part
from gitrun.archive.seal import seal as seal_record
from gitrun.errors import GitrunError
from gitrun.git.fold import fold_now
from gitrun.git.refs import LIVE, RUNS, create, delete
from gitrun.monitor import SILENT
from gitrun.recording.record import record
from gitrun.recording.recover import recover_all
from gitrun.recording.request import RecordRequest
from gitrun.store.blobs import BlobStore
from tests.git_support import git, opened
from tests.hand import Hand

Tell = Callable[..., None]
FIRST, SECOND, THIRD, FOURTH = (f"20261124-06124{n}-aaaaa{n}" for n in range(1, 5))
TAG, PACKED_TAG = "refs/tags/loose", "refs/tags/packed"
CONTENTS = [hashlib.sha256(b"%d" % n).digest() * (40 * n) for n in range(1, 9)]
OLD = b"stored before" * 100


class Scenario(NamedTuple):
    """`prepare` makes the repository at a path, `act` is what a fault meets; both tell what may be relied on.

    Where `is_sound` is False the repository is damaged from the start, and only what was told must be there.
    """

    name: str
    prepare: Callable[[Path, Tell], None]
    act: Callable[[Path, Tell], None]
    is_sound: bool = True


def environ(**more: str) -> Mapping[str, str]:
    """The test's environment, with no grace for removed runs, and nothing run that cannot be recorded."""
    return {**os.environ, "GITRUN_GC_GRACE": "0", "GITRUN_RECORD_ON_PROBLEM": "stop", **more}


def make_repository(root: Path) -> None:
    """One commit, something in the index, a tag of each kind."""
    git("init", "-q", "-b", "main", "--template=", str(root), cwd=root.parent)
    (root / "train.py").write_text("print('trained')\n")
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "first", cwd=root)
    git("update-ref", PACKED_TAG, "HEAD", cwd=root)
    git("pack-refs", "--all", cwd=root)
    git("update-ref", TAG, "HEAD", cwd=root)
    (root / "train.py").write_text("print('edited')\n")
    (root / "new.py").write_text("import train\n")
    git("add", "new.py", cwd=root)


def parts(run_id: str) -> dict[str, Part]:
    """A small part and one for the store, of which half is the same in all runs."""
    own = hashlib.sha256(run_id.encode()).digest()
    return {"config.json": Part(b"{}\n"), "console.zst": Part(own * 50), "shared.bin": Part(OLD)}


def seal(root: Path, tell: Tell, run_id: str) -> None:
    """A run sealed by hand."""
    hand = Hand(root)
    hand.seal(run_id, parts(run_id))
    tell("run", run_id)


# -- ingest


def _prepare_ingest(root: Path, tell: Tell) -> None:
    make_repository(root)
    store = BlobStore(Hand(root).gitrun_dir)
    with store.session() as session:
        tell("blob", session.put(OLD))
        session.commit()


def _ingest(root: Path, tell: Tell, path: str = "") -> None:
    """One session that relies on what is there, makes several packs, and meets a file twice."""
    store = BlobStore(str(root / ".git/gitrun"), path=path)
    file = root.parent / "large.bin"
    if not file.exists():
        file.write_bytes(OLD[::-1] * 20)
    with store.session() as session:
        ids = [session.put(OLD)]
        for content in CONTENTS:
            ids.append(session.put(content))
        session.commit()
        for blob in ids:
            tell("blob", blob)
        for blob, _ in session.put_file(str(file)).chunks + session.put_file(str(file)).chunks:
            ids.append(blob)
        session.commit()
        for blob in ids:
            tell("blob", blob)


def _prepare_elsewhere(root: Path, tell: Tell) -> None:
    make_repository(root)
    (root.parent / "other disk").mkdir()


def _ingest_elsewhere(root: Path, tell: Tell) -> None:
    _ingest(root, tell, str(root.parent / "other disk"))


# -- seal, fold, annotations, trash


def _prepare_runs(*run_ids: str) -> Callable[[Path, Tell], None]:
    def prepare(root: Path, tell: Tell) -> None:
        make_repository(root)
        for run_id in run_ids:
            seal(root, tell, run_id)

    return prepare


def _seal_with_live_ref(root: Path, tell: Tell) -> None:
    """As a recorder seals: its snapshot is durable and pinned before, and goes into the record's own pack."""
    hand = Hand(root)
    (commit, pack), tree = hand.snapshot(THIRD.encode())
    if pack is not None:
        pack.sync()
    create(hand.repo, LIVE + THIRD, commit)
    fields = {**hand.record(THIRD), "source": {"tree": tree, "modified": []}}
    store = BlobStore(hand.gitrun_dir)
    seal_record(
        hand.repo, lambda: store, fields, parts(THIRD), commit, tree, [], SILENT, environ=environ(), snapshot_pack=pack
    )
    tell("run", THIRD)


def _fold(way: str) -> Callable[[Path, Tell], None]:
    def act(root: Path, tell: Tell) -> None:
        assert fold_now(opened(root, way))

    return act


def _annotate(root: Path, tell: Tell) -> None:
    with Archive.open(str(root), environ()) as archive:
        for kind in ("tag", "note"):
            annotate(
                archive.repo, archive.gitrun_dir, environ(), archive.objects.reader, FIRST, kind, {"text": "good"}, []
            )
            tell("said", FIRST, kind)


def _remove(root: Path, tell: Tell) -> None:
    with Archive.open(str(root), environ()) as archive:
        if FIRST in archive.sealed():
            trash.remove(archive, FIRST)
    with Archive.open(str(root), environ()) as archive:
        trash.undelete(archive, FIRST)
    tell("run", FIRST)


# -- gc, repair


def _prepare_gc(root: Path, tell: Tell) -> None:
    """A removed run, whose blobs lie partly beside those of one that stays; packs and tables enough to be merged."""
    make_repository(root)
    for run_id in (FIRST, SECOND, THIRD, FOURTH):
        seal(root, tell, run_id)
    store = BlobStore(str(root / ".git/gitrun"))
    for content in CONTENTS:
        with store.session() as session:
            session.put(content)
            session.commit()
    with Archive.open(str(root), environ()) as archive:
        trash.remove(archive, FIRST)
        trash.remove(archive, SECOND)
    tell("gone", FIRST)
    tell("gone", SECOND)


def _gc(root: Path, tell: Tell) -> None:
    with Archive.open(str(root), environ()) as archive:
        gc(archive)


def _prepare_repair(root: Path, tell: Tell) -> None:
    _prepare_ingest(root, tell)
    store = BlobStore(str(root / ".git/gitrun"))
    with store.session() as session:
        lost = session.put(CONTENTS[-1])
        tell("blob", session.put(CONTENTS[2]))
        session.commit()
    (name,) = [name for name in store.pack_names() if store.pack(name).find(bytes.fromhex(lost))]  # type: ignore[union-attr]
    path = store.pack_path(name)
    data = bytearray(Path(path).read_bytes())
    data[store.pack(name).find(bytes.fromhex(lost)).offset + 60] ^= 1  # type: ignore[union-attr]
    os.chmod(path, 0o644)
    Path(path).write_bytes(data)


def _repair(root: Path, tell: Tell) -> None:
    with Archive.open(str(root), environ()) as archive:
        list(fsck(archive, data=True, mend=True))


# -- a whole recording, and recovering one


def _record(root: Path, tell: Tell) -> None:
    words = [b"sh", b"-c", b"echo made; test -f .git/gitrun/live/$GITRUN_RUN_ID/run.json"]
    os.chdir(root)
    done = record(RecordRequest(command=words), {**environ(), "PWD": str(root)}, SILENT)
    assert done.exit_code == 0, done
    if not done.sealed:
        raise GitrunError(f"not sealed: {done.problem}")
    tell("run", done.run_id)


def _prepare_recover(root: Path, tell: Tell) -> None:
    """What a recorder leaves that was killed with its keeper, while its command ran."""
    make_repository(root)
    seal(root, tell, FIRST)
    copy = root.parent / "copy"
    words = ["sh", "-c", f'echo before; cp -a "$GITRUN_RUN_DIR" {copy}']
    done = subprocess.run([sys.executable, "-m", "gitrun", "record", "-q", "--", *words], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
    with Archive.open(str(root), environ()) as archive:
        (run_id,) = set(archive.sealed()) - {FIRST}
        commit = archive.sealed()[run_id]
        assert create(archive.repo, LIVE + run_id, git("rev-parse", f"{commit}^", cwd=root).decode().strip())
        delete(archive.repo, RUNS + run_id)
    shutil.move(str(copy), root / ".git/gitrun/live" / run_id)


def _recover(root: Path, tell: Tell) -> None:
    for found in recover_all(opened(root), environ(), SILENT):
        tell("run", found.run_id)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("ingest", _prepare_ingest, _ingest),
        Scenario("ingest elsewhere", _prepare_elsewhere, _ingest_elsewhere),
        Scenario("seal", _prepare_runs(FIRST), _seal_with_live_ref),
        Scenario("seal and fold", _prepare_runs(FIRST, SECOND, FOURTH), _seal_with_live_ref),
        Scenario("fold with git", _prepare_runs(FIRST, SECOND, THIRD), _fold("git")),
        Scenario("fold without git", _prepare_runs(FIRST, SECOND, THIRD), _fold("none")),
        Scenario("annotate", _prepare_runs(FIRST), _annotate),
        Scenario("remove and undelete", _prepare_runs(FIRST, SECOND), _remove),
        Scenario("gc", _prepare_gc, _gc),
        Scenario("repair", _prepare_repair, _repair, is_sound=False),
        Scenario("record", _prepare_runs(FIRST), _record),
        Scenario("recover", _prepare_recover, _recover),
    )
}
