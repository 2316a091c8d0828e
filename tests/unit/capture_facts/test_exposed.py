"""Edited files that hold a secret are named, with the kind of it and never the secret."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from gitrun.capture.exposed import MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, Exposed, find_exposed, in_words, in_worktree

TOKEN = b"glpat-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7b"


def look(worktree: Path, paths: list[str], environ: dict[str, str]) -> Exposed:
    return find_exposed(in_worktree(os.fsencode(worktree), paths), environ)


def test_known_forms_and_known_values_are_found_and_names_are_not(tmp_path: Path) -> None:
    files = {
        "token.py": b"x = '" + TOKEN + b"'\n",
        "value.py": b"print('correct horse battery')\n",
        "long.py": b"# a comment\n" * 1000 + b"x = '" + TOKEN + b"'\n",
        "encoded.yaml": b"data: " + base64.b64encode(b"user:correct horse battery\n"),
        "name.py": b"password = 'hunter2'  # a name alone is in half of all sources\n",
        "url.py": b"'https://user:password@example.org'\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = look(tmp_path, [*files, "gone.py"], {"MY_SECRET": "correct horse battery"})
    assert found == Exposed(
        [
            {"path": "token.py", "secrets": ["gitlab-token"]},
            {"path": "value.py", "secrets": ["MY_SECRET"]},
            {"path": "long.py", "secrets": ["gitlab-token"]},
            {"path": "encoded.yaml", "secrets": ["MY_SECRET.base64"]},
        ],
        0,
    )


def test_what_is_no_file_or_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(TOKEN + bytes(MAX_FILE_BYTES))
    (tmp_path / "target").write_bytes(TOKEN)
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    assert look(tmp_path, ["long", "link", "fifo", ""], {}) == Exposed([], 1)


def test_not_more_than_the_bounds_is_read() -> None:
    asked: list[int] = []

    def read(limit: int) -> bytes:
        asked.append(limit)
        return bytes(limit)

    found = find_exposed((({"path": str(n)}, read) for n in range(MAX_FILES + 7)), {})
    assert len(asked) == MAX_FILES and found.unseen == 7 and sum(asked) == MAX_BYTES and max(asked) == MAX_FILE_BYTES


def test_many_files_are_told_in_one_line() -> None:
    files = [{"path": f"{n}.py", "secrets": ["a", "b"]} for n in range(7)]
    assert in_words(files[:1]) == "0.py (a, b)"
    assert in_words(files).endswith("4.py (a, b) and 2 more")
