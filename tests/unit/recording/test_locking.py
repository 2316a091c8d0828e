"""What was locked beside a command gets into the record only where `lock.json` vouches for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.seal import Part
from gitrun.model.canonical import encode
from gitrun.recording.live import LiveDirectory
from gitrun.recording.locking import PYLOCK, STATE, VENDORED, add_lock

LOCK = {"state": "resolved", "reason": None, "source": "pip", "missing": [], "vendored": []}
VOUCHED = encode({"lock": LOCK, "problems": [], "parts": [PYLOCK]})


@pytest.mark.parametrize(
    ("state", "kept", "found"),
    [
        (VOUCHED, {PYLOCK}, "resolved"),
        (None, set(), "none"),
        (VOUCHED[:40], set(), "none"),
        (b"[]", set(), "none"),
    ],
    ids=["whole", "missing", "torn", "something else"],
)
def test_a_part_that_the_state_does_not_name_is_not_sealed(
    tmp_path: Path, state: bytes | None, kept: set[str], found: str
) -> None:
    if state is not None:
        (tmp_path / STATE).write_bytes(state)
    parts = {name: Part(data=b"x") for name in (PYLOCK, VENDORED, "config.json")}
    record: dict[str, Any] = {"coverage": {}}
    add_lock(LiveDirectory(str(tmp_path)), record, parts)
    assert parts.keys() == {"config.json", *kept}
    assert record["lock"]["state"] == found and (found == "resolved" or record["lock"]["reason"])
