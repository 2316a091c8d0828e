"""Whatever run.json holds, a reader either understands it or says that it is damaged."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.archive.contract import describe
from gitrun.archive.message import command_line, encode_message
from gitrun.archive.shape import check_shape
from gitrun.errors import DamagedRecord
from gitrun.ui.page import print_page
from gitrun.ui.terminal import Screen

TREE, COMMIT = "ab" * 20, "cd" * 20
RECORD: dict[str, Any] = {
    "format": 1,
    "requires": [],
    "id": "20261124-061246-k3v9tq",
    "status": "completed",
    "command": ["true"],
    "started_at": "2026-11-24T06:12:46.000000Z",
    "exit": {"code": 0, "signal": None},
    "links": {"parent": None},
    "source": {
        "tree": TREE,
        "base": COMMIT,
        "modified": ["x"],
        "excluded": [{"path": "y", "bytes": 3, "reason": "secret"}],
    },
    "parts": {"config.json": {"in": "tree", "bytes": 3, "sha256": "ab" * 32}},
}
leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
anything = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3))
)


def test_a_record_as_the_spec_has_it() -> None:
    assert check_shape(RECORD) is RECORD


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": None},
        {"command": "true"},
        {"command": [1]},
        {"command": []},
        {"process": {"observed": []}},
        {"process": {"observed": {"processes": {"0": {}}}}},
        {"process": {"observed": {"processes": ["python"]}}},
        {"process": {"observed": {"processes": [{"numerics": 4}]}}},
        {"process": {"observed": {"processes": [{"numerics": {"threads": [4]}}]}}},
        {"command": ["true", "a\0b"]},
        {"cwd": "a\0b"},
        {"worktree": "a\0b"},
        {"worktree": 1},
        {"started_at": "yesterday"},
        {"duration_s": "1"},
        {"exit": {"code": "0"}},
        {"source": []},
        {"source": {"modified": "x"}},
        {"source": {"excluded": [{"bytes": 1}]}},
        {"source": {"excluded": [{"path": "x", "bytes": -1}]}},
        {"process": "x"},
        {"process": {"umask": "0x16"}},
        {"process": {"umask": "0999"}},
        {"process": {"umask": 18}},
        {"process": {"umask": ""}},
        {"process": {"variables": ["PATH"]}},
        {"process": {"variables": {"A=B": "x"}}},
        {"process": {"variables": {"": "x"}}},
        {"process": {"variables": {"A": "x\0"}}},
        {"process": {"variables": {"PATH": 1}}},
        {"process": {"variables": {"PATH": None}}},
        {"process": {"terminal_mode": 1}},
        {"parts": {"x": {}}},
        {"parts": {"x": {"in": "store", "chunks": [["a"]]}}},
        {"parts": {"x": {"in": "tree", "bytes": -1}}},
        {"parts": {"x": {"in": "tree", "sha256": "--output=/x"}}},
        {"parts": {"x": {"in": "store", "chunks": [["--output=/x", 1]]}}},
        {"source": {"object_format": "md5"}},
        {"source": {"object_format": "sha256", "tree": TREE}},
        {"source": {"object_format": "sha1", "tree": "ab" * 32}},
        {"source": {"roots": [{"path": "x", "commit": 1}]}},
        {"live": {"snapshot": "HEAD"}},
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(DamagedRecord, match=r"run\.json"):
        check_shape({**RECORD, **wrong})


@pytest.mark.parametrize(
    "value", ["--output=/x", "HEAD", "HEAD^{tree}", TREE.upper(), TREE[:8], TREE + "\n", "", "é" * 40]
)
@pytest.mark.parametrize("where", ["tree", "base", "snapshot", "commit", "roots.tree", "roots.commit"])
def test_an_id_is_an_id_in_every_digit(where: str, value: str) -> None:
    field = where.rpartition(".")[2]
    wrong = {"roots": [{"n": 1, "path": "lib", field: value}]} if where.startswith("roots") else {field: value}
    for fmt in ({}, {"object_format": "sha1"}):
        with pytest.raises(DamagedRecord, match=f"{where} is not what it should be"):
            check_shape({**RECORD, "source": {**wrong, **fmt}})


def test_a_root_may_be_a_commit_of_the_other_format() -> None:
    root = {"n": 1, "path": "lib", "tree": TREE, "commit": "ab" * 32}
    check_shape({**RECORD, "source": {"object_format": "sha1", "tree": TREE, "roots": [root]}})


def test_a_lockfile_without_a_state_is_none() -> None:
    record = check_shape({**RECORD, "lock": {"state": None, "reason": "slow"}})
    described = describe(record, lambda name: None, snapshot=None)
    assert described["lock"] == {"state": "none", "reason": "slow"}
    print_page(Screen(io.StringIO(), {}), described, "true", {})


KEYS = sorted(
    {*RECORD, "name", "tags", "notes", "coverage", "lock", "seeds", "metrics", "duration_s", "group", "process"}
)


@given(
    st.dictionaries(st.sampled_from(KEYS), anything, max_size=4),
    st.dictionaries(st.text(max_size=9), anything),
    anything,
)
def test_what_passes_can_be_described_and_shown(wrong: dict[str, Any], source: dict[str, Any], part: Any) -> None:
    record = {
        **RECORD,
        "source": {**RECORD["source"], **source},
        **wrong,
        "id": RECORD["id"],
        "format": 1,
        "status": "lost",
    }
    try:
        check_shape(record)
    except DamagedRecord:
        return
    encode_message(record)
    described = describe(record, lambda name: part, snapshot=None)
    print_page(Screen(io.StringIO(), {}), described, command_line(described["command"]), record.get("parts") or {})
