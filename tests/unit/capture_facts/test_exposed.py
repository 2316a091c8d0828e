"""Edited files that hold a secret are named, with the kind of it and never the secret."""

from __future__ import annotations

import os
from pathlib import Path

from gitrun.capture.exposed import MAX_FILE_BYTES, Exposed, find_exposed, in_words

TOKEN = b"glpat-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7b"


def test_known_forms_and_known_values_are_found_and_names_are_not(tmp_path: Path) -> None:
    files = {
        "token.py": b"x = '" + TOKEN + b"'\n",
        "value.py": b"print('correct horse battery')\n",
        "long.py": b"# a comment\n" * 1000 + b"x = '" + TOKEN + b"'\n",
        "name.py": b"password = 'hunter2'  # a name alone is in half of all sources\n",
        "url.py": b"'https://user:password@example.org'\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = find_exposed(os.fsencode(tmp_path), [*files, "gone.py"], {"MY_SECRET": "correct horse battery"})
    assert found == Exposed(
        [
            {"path": "token.py", "secrets": ["gitlab-token"]},
            {"path": "value.py", "secrets": ["MY_SECRET"]},
            {"path": "long.py", "secrets": ["gitlab-token"]},
        ],
        0,
    )


def test_what_is_no_file_or_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(TOKEN + bytes(MAX_FILE_BYTES))
    (tmp_path / "target").write_bytes(TOKEN)
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    assert find_exposed(os.fsencode(tmp_path), ["long", "link", "fifo", ""], {}) == Exposed([], 1)


def test_many_files_are_told_in_one_line() -> None:
    files = [{"path": f"{n}.py", "secrets": ["a", "b"]} for n in range(7)]
    assert in_words(files[:1]) == "0.py (a, b)"
    assert in_words(files).endswith("4.py (a, b) and 2 more")
