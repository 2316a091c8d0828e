"""`--input GLOB`: which files it names, and what is said about each."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.digests import Digests
from gitrun.capture.inputs import SAMPLE_BYTES, Allowance, Inputs, capture_inputs, sample
from gitrun.capture.secret_files import is_secret_file
from gitrun.model.canonical import encode_line
from tests.conftest import write_files

FILES: dict[str | bytes, str | bytes | Path] = {
    "data/a.csv": "a", "data/b.csv": "b", "data/deep/er/c.csv": "c", "data/.hidden.csv": "h", "data/x.txt": "x",
    "data/.cache/d.csv": "d", "data/[1].csv": "one", b"data/\xff.csv": "bytes", "other.csv": "o",
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_files(tmp_path / "work", FILES)
    return tmp_path / "work"


def capture(tree: Path, *globs: str | bytes, cwd: Path | None = None, allowance: Allowance | None = None) -> Inputs:
    return capture_inputs(
        [os.fsencode(glob) for glob in globs],
        cwd=os.fsencode(cwd or tree),
        worktree=os.fsencode(tree),
        digests=Digests(None),
        allowance=allowance or Allowance(1 << 30),
    )


def paths(inputs: Inputs) -> list[str]:
    return [entry["path"] for entry in inputs.entries]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("data/a.csv", ["data/a.csv"]),
        ("./data//a.csv", ["data/a.csv"]),
        ("data/?.csv", ["data/a.csv", "data/b.csv", "data/\udcff.csv"]),
        ("data/[ab].csv", ["data/a.csv", "data/b.csv"]),
        ("data/.*.csv", ["data/.hidden.csv"]),
        ("data/[[]1].csv", ["data/[1].csv"]),
        ("data/deep", ["data/deep/er/c.csv"]),
        ("**/c.csv", ["data/deep/er/c.csv"]),
        ("data/**/*.txt", ["data/x.txt"]),
        ("data/deep/**", ["data/deep/er/c.csv"]),
        ("data/*/er/*", ["data/deep/er/c.csv"]),
        ("*.csv", ["other.csv"]),
    ],
)
def test_patterns(tree: Path, glob: str, expected: list[str]) -> None:
    inputs = capture(tree, glob)
    assert paths(inputs) == expected
    assert inputs.problems == []


def test_lines_are_sorted_by_bytes_each_once_and_can_be_written(tree: Path) -> None:
    inputs = capture(tree, "data", "data/*.csv", "data/a.csv")
    names = [os.fsencode(path) for path in paths(inputs)]
    assert names == sorted(set(names)) and len(names) == 8
    assert [encode_line(entry) for entry in inputs.entries]


def test_a_file_is_described(tree: Path) -> None:
    os.chmod(tree / "data/a.csv", 0o640)
    assert capture(tree, "data/a.csv").entries == [
        {
            "path": "data/a.csv", "kind": "input", "type": "file", "mode": "0640", "bytes": 1,
            "sha256": hashlib.sha256(b"a").hexdigest(), "evidence": "declared", "stored": False, "reason": "input",
            "level": None, "produced_by": None,
        }
    ]  # fmt: skip


def test_paths_are_relative_to_the_worktree_or_absolute_outside(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("out")
    inputs = capture(
        tree, "../x.txt", "../../../outside.csv", str(tmp_path / "outside.csv"), cwd=tree / "data" / "deep"
    )
    assert paths(inputs) == [str(tmp_path / "outside.csv"), "data/x.txt"]


def test_links_carry_their_target_and_the_content_behind_them(tree: Path) -> None:
    (tree / "link.csv").symlink_to("data/a.csv")
    (tree / "dangling.csv").symlink_to("nowhere")
    found = {entry["path"]: entry for entry in capture(tree, "link.csv", "dangling.csv").entries}
    assert found["link.csv"]["type"] == "file" and found["link.csv"]["target"] == "data/a.csv"
    assert found["link.csv"]["sha256"] == hashlib.sha256(b"a").hexdigest()
    assert found["dangling.csv"]["type"] == "link" and found["dangling.csv"]["reason"] == "missing"


def test_a_loop_of_links_ends(tree: Path) -> None:
    (tree / "data" / "loop").symlink_to("..")
    assert "other.csv" in paths(capture(tree, "**/*.csv"))


def test_secret_files_are_listed_and_not_read(tree: Path) -> None:
    (tree / ".env").write_text("TOKEN=abc")
    (tree / "innocent").symlink_to(".env")
    for entry in capture(tree, ".env", "innocent").entries:
        assert (entry["sha256"], entry["bytes"], entry["reason"]) == (None, None, "secret")


def test_what_cannot_be_read_becomes_a_problem(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    inputs = capture(tree, "pipe", "absent*", "absent", "a\0b", "/".join(["x"] * 10_000))
    assert inputs.entries == []
    assert len(inputs.problems) == 5


def test_an_unreadable_file(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open

    def refuse(path: Any, *rest: Any, **more: Any) -> Any:
        if path == os.fsencode(tree / "data/a.csv"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr("builtins.open", refuse)
    inputs = capture(tree, "data/a.csv")
    assert inputs.entries[0]["reason"] == "unreadable" and "Permission denied" in inputs.problems[0]


def test_a_file_that_changes_while_it_is_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open

    def append_first(path: Any, *rest: Any, **more: Any) -> Any:
        with real(path, "ab") as file:
            file.write(b"more")
        return real(path, *rest, **more)

    monkeypatch.setattr("builtins.open", append_first)
    inputs = capture(tree, "data/a.csv")
    assert "changed while it was read" in inputs.problems[0]
    assert inputs.entries[0]["bytes"] == 5


def test_what_is_too_much_to_hash_is_sampled_and_the_large_files_first(tree: Path) -> None:
    big, small = os.urandom(5 * SAMPLE_BYTES), b"s" * 4 * SAMPLE_BYTES
    write_files(tree, {"big": big, "small": small, "tiny": b"t"})
    inputs = capture(tree, "big", "small", "tiny", allowance=Allowance(len(small) + 1))
    found = {entry["path"]: entry for entry in inputs.entries}
    assert [found[path]["level"] for path in ("big", "small", "tiny")] == ["sample", None, None]
    assert found["small"]["sha256"] == hashlib.sha256(small).hexdigest()
    middle = big[len(big) // 2 - SAMPLE_BYTES // 2 :][:SAMPLE_BYTES]
    expected = b"%d\0" % len(big) + big[:SAMPLE_BYTES] + middle + big[-SAMPLE_BYTES:]
    assert found["big"]["sample"] == hashlib.sha256(expected).hexdigest()
    assert (found["big"]["sha256"], found["big"]["bytes"]) == (None, len(big))
    assert inputs.problems == [f"1 input(s), {len(big)} bytes, are known by samples only"]
    (tree / "big").write_bytes(big[:-1] + b"?")
    assert sample(os.fsencode(tree / "big"), len(big)) != found["big"]["sample"]


def test_when_the_time_is_over_size_and_time_must_do(tree: Path) -> None:
    os.utime(tree / "data/a.csv", ns=(0, 1_500_000_000_123_456_789))
    inputs = capture(tree, "data/a.csv", allowance=Allowance(1 << 30, end=0.0))
    (entry,) = inputs.entries
    assert (entry["level"], entry["sha256"], entry["bytes"]) == ("stat", None, 1)
    assert entry["modified"] == "2017-07-14T02:40:00.123456Z"
    assert inputs.problems == ["1 input(s), 1 bytes, are known by size and time only"]


SECRET = (
    ".env",
    "x/.env.production",
    "prod.env",
    "id_rsa",
    "a/server.key",
    "cert.PEM",
    ".aws/config",
    "credentials.json",
    ".netrc",
)
PLAIN = (".env.example", "env", "environment.yml", "id_rsa.pub", "keys.csv", "tokenizer.json", "a/aws/config", "monkey")


@pytest.mark.parametrize("path", SECRET)
def test_names_of_secret_files(path: str) -> None:
    assert is_secret_file(path.encode())


@pytest.mark.parametrize("path", PLAIN)
def test_names_of_other_files(path: str) -> None:
    assert not is_secret_file(path.encode())
