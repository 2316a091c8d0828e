"""A snapshot that a power cut took: the run is sealed without a source, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.archive.archive import Archive
from gitrun.files import holder
from gitrun.git.packs import OwnPacks
from gitrun.monitor import SILENT
from gitrun.recording.recover import recover_all
from tests.faults.scenarios import FIRST, SCENARIOS, environ
from tests.git_support import fsck, git, opened


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_run_whose_snapshot_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_lost: bool) -> None:
    root = tmp_path / "repository"
    SCENARIOS["recover"].prepare(root, lambda *_: None)
    (live,) = (path.name for path in (root / ".git/gitrun/live").iterdir())
    commit = git("rev-parse", f"refs/gitrun/live/{live}", cwd=root).decode().strip()
    index = OwnPacks(str(root / ".git/objects"), "sha1").find(commit)
    assert index is not None
    if is_lost:
        git("update-ref", "-d", f"refs/gitrun/live/{live}", cwd=root)
        for suffix in ("idx", "pack"):  # the names were durable, the bytes were not
            path = Path(index).with_suffix(f".{suffix}")
            path.chmod(0o644)
            path.write_bytes(b"")
    real = holder._read
    monkeypatch.setattr(holder, "_read", lambda path: "another" if path.endswith("/boot_id") else real(path))
    (found,) = recover_all(opened(root), environ(), SILENT)
    fsck(root)
    with Archive.open(str(root), environ()) as archive:
        run = archive.run(found.run_id)
        assert run is not None and archive.run(FIRST) is not None
        assert (run.source_tree is None) == is_lost
        assert ("it is lost" in str(run.record["coverage"].get("source"))) == is_lost
