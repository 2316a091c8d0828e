"""The first of many, and how many more."""

from __future__ import annotations

from gitrun.model.listing import first_lines, listed


def test_in_a_sentence_and_in_lines() -> None:
    names = [str(n) for n in range(5)]
    assert listed([]) == "" and first_lines([]) == []
    assert listed(names) == "0, 1, 2, 3, 4" and first_lines(names) == names
    assert listed(names, 3) == "0, 1, 2 and 2 more" and first_lines(names, 3) == ["0", "1", "2", "… and 2 more"]
    assert listed(["x"] * 1235, 1) == "x and 1,234 more"
