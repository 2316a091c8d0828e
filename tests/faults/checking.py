"""What must be true of a repository after any fault, and again when what was cut off has been done once more."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gitrun.archive.annotations import Annotations
from gitrun.archive.archive import Archive
from gitrun.archive.fsck import fsck
from gitrun.archive.trash import removed
from gitrun.git.refs import read_ref
from gitrun.git.unusable import unusable_packs
from tests.faults.scenarios import PACKED_TAG, TAG, environ
from tests.git_support import opened

Told = tuple[Any, ...]


def check(root: Path, users: dict[str, bytes], told: Collection[Told], *, is_sound: bool = True) -> None:
    """Raises AssertionError where something of the user's or of what was promised is not there, or not whole.

    A pack that was not synced yet may be cut off after a power cut. Then git says so, and so does `gitrun fsck`.
    """
    assert user_files(root) == users
    damaged = unusable_packs(opened(root))
    if not damaged:
        assert_git_is_content(root)
    for path in (root / ".git/gitrun/store").resolve().glob("packs/*/*"):
        if path.is_file() and is_sound:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem, f"{path} is not whole"
    with Archive.open(str(root), environ()) as archive:
        assert read_ref(archive.repo, PACKED_TAG) == read_ref(archive.repo, TAG) == read_ref(archive.repo, "HEAD")
        gone = {said[1] for said in told if said[0] == "gone"}
        runs = {**archive.sealed(), **removed(archive)}
        for what, *value in told:
            if what == "blob":
                assert hashlib.sha256(archive.store.get(value[0])).hexdigest() == value[0]
            elif what == "run":
                assert value[0] in runs or value[0] in gone, f"run {value[0]} is gone"
            elif what == "said":
                annotations = Annotations(archive.repo, lambda: archive.objects.reader)
                assert value[1] in [event.kind for event in annotations.of(value[0])], f"{value} was said"
        if is_sound:
            damage = [finding for finding in fsck(archive) if finding.is_damage]
            assert {finding.where for finding in damage} == {pack.path("pack") for pack in damaged}, damage


def user_files(root: Path) -> dict[str, bytes]:
    """What belongs to the user, byte by byte."""
    names = ["HEAD", "index", "config", "refs/heads/main", TAG, "refs/stash", "ORIG_HEAD"]
    found = {name: (root / ".git" / name).read_bytes() for name in names if (root / ".git" / name).exists()}
    found |= {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    packed = (root / ".git/packed-refs").read_bytes()
    found["packed-refs"] = b"".join(line for line in packed.splitlines(True) if b" refs/gitrun/" not in line)
    return found


def assert_git_is_content(root: Path) -> None:
    """Git finds every object it needs, and no damaged pack."""
    done = subprocess.run(
        ["git", "fsck", "--strict", "--no-dangling"], cwd=root, capture_output=True, env={**os.environ}
    )
    assert done.returncode == 0 and not done.stderr.strip(), (done.stdout + done.stderr).decode("utf-8", "replace")


def assert_git_can_work(root: Path) -> None:
    """No lock that a fault left keeps the user out: refs can be made and packed, a commit is possible."""
    for words in (["tag", "-f", "works"], ["pack-refs", "--all"], ["tag", "-d", "works"]):
        done = subprocess.run(["git", *words], cwd=root, capture_output=True)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
