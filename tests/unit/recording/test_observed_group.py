"""A sweep that only the program's own report tells of becomes the run's group, unless the user has said otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.capture.observed import Observed, Process
from gitrun.capture.ownership import Owners
from gitrun.capture.secrets import Redactor
from gitrun.recording.observing import Subject, _group

CONFIG = {"framework": "hydra", "sweep": b"multirun/x"}


@pytest.mark.parametrize(
    ("group", "given", "configs", "expected"),
    [
        (None, False, [CONFIG], "multirun/x"),
        (None, True, [CONFIG], None),
        ("4242", False, [CONFIG], "4242"),
        ("mine", True, [CONFIG], "mine"),
        (None, False, [], None),
    ],
)
def test_group(group: str | None, given: bool, configs: list[dict[str, Any]], expected: str | None) -> None:
    draft = {"group": group, "worktree": "/w", "live": {"group_given": given}}
    process = Process._make([None] * len(Process._fields))._replace(start={"cwd": b"/w"}, configs=configs)
    nobody: Any = None
    _group(Subject(nobody, nobody, draft, Observed([process], []), Redactor({}), Owners()))
    assert draft["group"] == expected
