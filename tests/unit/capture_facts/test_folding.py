"""Many lines of one directory become one, and nothing gets lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.capture import folding
from gitrun.capture.folding import directory_lines, fold
from gitrun.model.canonical import decode_lines


def line(path: str, **more: Any) -> dict[str, Any]:
    return {
        "path": path, "kind": "input", "type": "file", "bytes": 1, "sha256": "ab" * 32, "level": None,
        "evidence": "observed", "produced_by": None, **more,
    }  # fmt: skip


def shape(paths: list[str], many: int = 3) -> tuple[list[str], dict[bytes, list[str]]]:
    folded = fold(map(line, paths), many=many)
    below = {directory: sorted(one["path"] for one in lines) for directory, lines in folded.directories}
    return sorted(one["path"] for one in folded.lines), below


@pytest.mark.parametrize(
    ("paths", "loose", "folded"),
    [
        (["a/1", "a/2", "a/3"], ["a/1", "a/2", "a/3"], {}),
        (["a/1", "a/2", "a/3", "a/4", "b/1"], ["b/1"], {b"a": ["a/1", "a/2", "a/3", "a/4"]}),
        (["d/a/1", "d/a/2", "d/b/1", "d/b/2"], [], {b"d": ["d/a/1", "d/a/2", "d/b/1", "d/b/2"]}),
        (["1", "2", "3", "4"], ["1", "2", "3", "4"], {}),
        (["/1", "/2", "/3", "/4"], ["/1", "/2", "/3", "/4"], {}),
        (["a/1", "a/2", "b/1", "b/2"], ["a/1", "a/2", "b/1", "b/2"], {}),
        (["/d/1", "/d/2", "/d/3", "/d/4", "x"], ["x"], {b"/d": ["/d/1", "/d/2", "/d/3", "/d/4"]}),
    ],
)
def test_what_is_folded(paths: list[str], loose: list[str], folded: dict[bytes, list[str]]) -> None:
    assert shape(paths) == (loose, folded)


def test_a_folded_directory_is_one_line_for_those_above_and_is_swallowed_by_them() -> None:
    deep = [f"d/e/{n}" for n in range(4)]
    assert shape([*deep, "d/1", "d/2"]) == (["d/1", "d/2"], {b"d/e": deep})
    assert shape([*deep, "d/1", "d/2", "d/3"]) == ([], {b"d": sorted([*deep, "d/1", "d/2", "d/3"])})


def test_the_line_of_a_directory_sums_up_what_is_below() -> None:
    below = [line("d/2", produced_by="r", bytes=None), line("d/1", produced_by="r", level="sample", overwritten=True)]
    ((summed, manifest),) = directory_lines(b"d", below)
    assert (summed["path"], summed["type"], summed["bytes"], summed["files"]) == ("d", "directory", 1, 2)
    assert (summed["produced_by"], summed["level"], summed["overwritten"]) == ("r", "sample", True)
    assert [one["path"] for one in decode_lines(manifest)] == ["d/1", "d/2"]


def test_a_list_too_long_for_a_blob_becomes_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "MANIFEST_BYTES", 500)
    below = [line(f"d/{n}") for n in range(9)]
    found = list(directory_lines(b"d", below))
    assert len(found) > 2 and {one["path"] for one, _ in found} == {"d"}
    assert [one for _, manifest in found for one in decode_lines(manifest)] == below
