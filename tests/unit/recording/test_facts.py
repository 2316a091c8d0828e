"""A capture that fails costs the run nothing, and what it says of it tells no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.secrets import Redactor
from gitrun.recording.facts import FactFinder, Subject
from gitrun.recording.live import LiveDirectory


def test_an_exception_that_quotes_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor({"MY_SECRET": "correct horse battery"})
    subject = Subject([b"true"], {}, b"/", None, (), (b"x",), (), str(tmp_path), redactor)
    draft: dict[str, Any] = {"coverage": {}, "process": {}}

    def fail(*_: object, **__: object) -> None:
        raise ValueError("bad line: password=hunter2, correct horse battery")

    monkeypatch.setattr("gitrun.capture.inputs.capture_inputs", fail)
    FactFinder(subject, LiveDirectory(str(tmp_path)), draft).before_the_start()
    (told,) = draft["coverage"]["inputs"]
    assert told == "not captured: ValueError: bad line: password=<secret:password>, <secret:MY_SECRET>"
