"""What a run that is being recorded needs, a collector knows: the blobs of its outputs too, however they are named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.archive.archive import Archive
from gitrun.archive.marking import mark
from gitrun.errors import GitrunError
from gitrun.model.canonical import encode_line
from gitrun.store.chunk_lists import encode


def test_the_chunks_behind_a_list_of_a_live_run(make_repo: Callable[..., Path]) -> None:
    repo = make_repo()
    with Archive.open(str(repo), os.environ) as archive:
        with archive.store.session() as session:
            chunks = [(session.put(bytes([n])), 1) for n in range(40)]
            listed = session.put(encode(chunks))
            below = session.put(encode_line({"path": "d/a", "chunks": [[session.put(b"below"), 5]]}))
            session.commit()
        parts = repo / ".git/gitrun/live/20260102-030405-abcdef/parts"
        parts.mkdir(parents=True)
        lines = [{"path": "a", "chunk_list": listed}, {"path": "d", "manifest": below}]
        (parts / "artifacts.jsonl").write_bytes(b"".join(map(encode_line, lines)))
        marked = {blob.hex() for blob in mark(archive).blobs}
        assert {listed, below, *(blob for blob, _ in chunks)} < marked and len(marked) == 43
        (parts / "artifacts.jsonl").write_bytes(encode_line({"path": "a", "chunk_list": "0" * 64}))
        with pytest.raises(GitrunError, match="run 20260102-030405-abcdef, which is being recorded: what a needs"):
            mark(archive)
