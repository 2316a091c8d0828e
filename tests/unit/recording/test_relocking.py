"""A lockfile that is made later asks the project's files as a recording would have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gitrun.archive.archive import Archive
from gitrun.archive.selectors import resolve
from gitrun.capture.lock.sources import find_sources
from gitrun.recording.relocking import _sources
from tests.conftest import Result

NAMES = ("poetry.lock", "conda-lock.yml", "uv.lock", "requirements.txt", "requirements/dev.txt", "pylock.toml")


def test_the_files_of_a_tree_are_asked_in_the_order_of_those_on_disk(
    make_repo: Callable[..., Path], gitrun: Callable[..., Result]
) -> None:
    repo = make_repo({f"{place}{name}": f"{place}{name}" for place in ("", "sub/") for name in NAMES})
    assert gitrun("record", "--", "true", cwd=repo / "sub").code == 0
    there = find_sources(os.fsencode(repo / "sub"), os.fsencode(repo))
    with Archive.open(str(repo), os.environ) as archive:
        assert _sources(archive, resolve(archive, "@")) == there
    assert [source.path for source in there][:2] == ["sub/uv.lock", "sub/pylock.toml"]
