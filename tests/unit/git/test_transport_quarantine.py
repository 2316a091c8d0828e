"""Objects that nobody has judged: seen from inside, unseen from outside, taken in whole or gone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gitrun.git.objects import open_reader
from gitrun.git.packs import OwnPacks
from gitrun.git.transport_quarantine import Quarantine
from tests.git_support import both_formats, both_ways, fsck, git, init, opened


@both_ways
@both_formats
def test_only_what_is_taken_in_is_there(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    repo = opened(root, way)
    head = git("rev-parse", "HEAD", cwd=root).decode().strip()
    with Quarantine(repo, repo.gitrun_dir({})) as place:
        writer = place.writer()
        oid = writer.add("blob", b"new\n")
        writer.finish(sync=False)
        with open_reader(place.repo) as reader:
            assert reader.has(oid) and reader.has(head)
    with open_reader(repo) as reader:
        assert not reader.has(oid)
    with Quarantine(repo, repo.gitrun_dir({})) as place:
        writer = place.writer()
        writer.add("blob", b"new\n")
        writer.finish(sync=False)
        assert place.take_in() > 0
    with open_reader(repo) as reader:
        assert reader.has(oid)
    assert OwnPacks(repo.objects_dir, fmt).contains(oid)
    assert os.listdir(root / ".git/gitrun/tmp") == []
    fsck(root)


def test_what_a_killed_process_left_is_removed_when_that_is_proved(tmp_path: Path) -> None:
    repo = opened(init(tmp_path / "r"))
    home = Path(repo.gitrun_dir({}), "tmp")
    with Quarantine(repo, repo.gitrun_dir({})) as alive:
        dead = home / "incoming-0123456789abcdef"
        (dead / "pack").mkdir(parents=True)
        (dead / "lock").touch()
        (dead / "pack/tmp_pack_x").write_bytes(b"half")
        young = home / "incoming-fedcba9876543210"
        young.mkdir()
        (young / "lock").touch()
        then = time.time() - 7200
        for place in (dead, Path(alive.directory)):
            os.utime(place / "lock", (then, then))
        with Quarantine(repo, repo.gitrun_dir({})):
            assert not dead.exists() and young.exists() and os.path.exists(alive.directory)
