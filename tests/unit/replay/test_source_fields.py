"""What a record says of its source is judged before anything is done with it."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.errors import DamagedRecord, HostilePath
from gitrun.replay.isolate import name_of
from gitrun.replay.plan import FILE, Item
from gitrun.replay.source import make_source
from gitrun.replay.tracked import tracked

OID = "1" * 40
WHEN = "2026-01-02T03:04:05.678901Z"


def source(extra: list[Any] | None = None, **facts: Any) -> Any:
    return make_source("run x", {"tree": OID, "object_format": "sha1", **facts}, extra or [], WHEN, None)


def line(**fields: Any) -> dict[str, Any]:
    return {"path": "n", "mode": "100644", "bytes": 0, "sha256": "", "reason": "large", "chunks": [], **fields}


@pytest.mark.parametrize("mode", ["104777", "120000", "-1", "zz", "040000", "160000", "644"])
def test_a_mode_that_is_no_files_is_refused(mode: str) -> None:
    with pytest.raises(HostilePath, match="mode"):
        source([line(mode=mode)])


def test_modes_of_files_are_read() -> None:
    modes = [entry.mode for entry in source([line(mode=mode) for mode in ("100644", "100755", "100664")]).extra]
    assert modes == [0o100644, 0o100755, 0o100644]


@pytest.mark.parametrize("oid", ["HEAD", "A" * 40, "1" * 39, "1" * 64, "HEAD^{tree}", "1" * 40 + "\n", 7])
def test_an_id_that_is_none_is_refused(oid: Any) -> None:
    for facts in ({"tree": oid}, {"base": oid}, {"roots": [{"n": 1, "path": "r", "tree": oid}]}):
        with pytest.raises(DamagedRecord):
            source(**facts)


def test_a_blob_id_in_capitals_is_refused() -> None:
    with pytest.raises(DamagedRecord):
        source([line(bytes=5, chunks=[["AB" * 32, 5]])])


@pytest.mark.parametrize("mode", ["104755", "120000", None])
def test_the_delta_names_modes_of_files_alone(mode: Any) -> None:
    with pytest.raises(DamagedRecord):
        source(delta=[{"path": "a", "kind": "mode", "mode": mode}])


@pytest.mark.parametrize("worktree", ["/a/..", "/a/.git", "/", "", None, "/a/\0", "/a/" + "n" * 300])
def test_a_worktree_whose_name_is_none_gets_a_plain_one(worktree: str | None) -> None:
    assert name_of(worktree) == "worktree"
    assert name_of("/home/me/project") == "project"


def test_the_index_knows_what_was_hidden_and_what_was_staged() -> None:
    hidden = {"path": "b", "kind": "assume-unchanged"}
    found = tracked(
        source(delta=[hidden], deleted=["b"], index_tracked_new=["w.bin"]), [Item(b"b", FILE, OID)], [], lambda _: None
    )
    flags = {entry.path: (entry.assume_valid, entry.intent_to_add) for entry in found}
    assert flags == {b"b": (True, False), b"w.bin": (False, True)}
