"""What of a program's summary is told to be a description only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gitrun.child.frames import frame, pack_value
from gitrun.recording.live import LiveDirectory
from gitrun.recording.measuring import measure


class Plain:
    """A redactor that finds nothing."""

    def text(self, text: str) -> str:
        return text

    def tree(self, value: Any, name: str = "") -> Any:
        return value


def test_a_summary_that_only_describes_an_object_is_told(tmp_path: Path) -> None:
    said = [
        {"values": {"model": "<Net>", "best": "<Decimal>", "n": 1}, "unserialisable": ["model", "best"]},
        {"values": {"best": 0.5}, "unserialisable": []},
    ]
    (tmp_path / "members" / "0").mkdir(parents=True)
    (tmp_path / "parts").mkdir()
    head = {"kind": "metrics", "format": 1, "requires": [], "pid": 1, "started_ns": 1, "rank": None}
    frames = [frame(pack_value(each)) for each in (head, *({"kind": "summary", **one} for one in said))]
    (tmp_path / "members" / "0" / "metrics-1-00000000").write_bytes(b"".join(frames))
    draft: dict[str, Any] = {"live": {}}
    coverage = measure(LiveDirectory(str(tmp_path)), draft, Plain())  # type: ignore[arg-type]
    assert draft["summary"] == {"model": "<Net>", "best": 0.5, "n": 1}
    assert coverage == ["summary.model: only described, because it is no plain value or too large"]
