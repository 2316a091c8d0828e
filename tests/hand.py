"""A real repository and a hand that seals records into it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.seal import Part, Sealed, seal
from gitrun.git.executable import find_git
from gitrun.git.identity import FALLBACK
from gitrun.git.packs import PackWriter
from gitrun.git.repository import Repository, discover
from gitrun.git.trees import FILE, TreeEntry, encode_commit, encode_tree
from gitrun.model.canonical import encode
from gitrun.monitor import SILENT
from gitrun.store.blobs import BlobStore
from gitrun.store.config import load_or_create


class Hand:
    """Seals records into one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo: Repository = discover(str(root), find_git(environ=os.environ), os.environ)
        self.gitrun_dir = self.repo.gitrun_dir(os.environ)
        self.writer = load_or_create(self.gitrun_dir).writer

    def record(self, run_id: str, **more: Any) -> dict[str, Any]:
        """A small complete record."""
        day, clock = run_id[:8], run_id[9:15]
        second = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}"
        return {
            "format": 1,
            "requires": [],
            "id": run_id,
            "status": "completed",
            "command": ["true"],
            "started_at": f"{second}.000000Z",
            "ended_at": f"{second}.500000Z",
            "duration_s": 0.5,
            "exit": {"code": 0, "signal": None},
            "origin": self.writer,
            "source": {"tree": None, "modified": []},
            **more,
        }

    def seal(self, run_id: str, parts: dict[str, Part] | None = None, **more: Any) -> Sealed:
        """Seal a record whose source is one file that holds the id."""
        snapshot, tree = self.snapshot(run_id.encode())
        record = self.record(run_id, **more)
        record["source"] = {**record["source"], "tree": tree}
        return seal(
            self.repo,
            lambda: BlobStore(self.gitrun_dir),
            record,
            parts or {},
            snapshot[0],
            tree,
            [],
            SILENT,
            environ=os.environ,
            snapshot_pack=snapshot[1],
        )

    def snapshot(self, content: bytes) -> tuple[tuple[str, Any], str]:
        """A commit of one file, in a pack of its own: ((commit, pack), tree)."""
        writer = PackWriter(self.repo.objects_dir, self.repo.object_format)
        blob = writer.add("blob", content)
        tree = writer.add("tree", encode_tree([TreeEntry(b"train.py", FILE, blob)]))
        commit = writer.add("commit", encode_commit(tree, [], FALLBACK, 0, "+0000", b"snapshot\n"))
        return (commit, writer.finish(sync=False)), tree

    def live(self, run_id: str, heartbeat_age_s: float = 2.0, host: str = "elsewhere", **more: Any) -> Path:
        """A live directory such as a recorder on another machine would have."""
        directory = Path(self.gitrun_dir, "live", run_id)
        member = directory / "members" / "0"
        member.mkdir(parents=True)
        draft = self.record(run_id, status="running", ended_at=None, duration_s=None, exit=None, **more)
        (directory / "run.json").write_bytes(encode(draft))
        (member / "header.json").write_bytes(encode({"format": 1, "requires": [], "host": host}))
        (member / "heartbeat").touch()
        then = time.time() - heartbeat_age_s
        os.utime(member / "heartbeat", (then, then))
        return directory

    def open(self) -> Archive:
        """The archive, opened anew."""
        return Archive.open(str(self.root), os.environ)
