"""The lists in the specification are the lists in the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.capture.configfile import FORMATS
from gitrun.capture.variables import IDENTITY, SETTING_PREFIXES, SETTINGS
from gitrun.recording.actual_environment import CHOOSERS

SPEC = Path(__file__).parents[3] / "spec"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("secrets.md", sorted(SETTINGS | IDENTITY | {*SETTING_PREFIXES})),
        ("config.md", sorted(FORMATS)),
        ("environment.md", sorted(CHOOSERS)),
    ],
)
def test_every_listed_word_is_in_the_specification(document: str, words: list[str]) -> None:
    text = (SPEC / document).read_text()
    assert [word for word in words if f"`{word}`" not in text] == []
