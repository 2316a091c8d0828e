"""The child's place on PYTHONPATH: first for the command, and never part of what a run records."""

from __future__ import annotations

import os

import pytest

from gitrun.recording import injection
from gitrun.recording.injection import SITE, with_child, without_child


@pytest.mark.parametrize(
    ("own", "given"),
    [(None, SITE), ("", SITE), ("a", f"{SITE}:a"), ("a::b", f"{SITE}:a::b"), (":", f"{SITE}::")],
)
def test_the_child_comes_first(own: str | None, given: str) -> None:
    variables = {b"A": b"1"} if own is None else {b"A": b"1", b"PYTHONPATH": os.fsencode(own)}
    assert with_child(variables) == {b"A": b"1", b"PYTHONPATH": os.fsencode(given)}


@pytest.mark.parametrize("own", ["a", "a::b", "a:b:"])
def test_a_record_inside_a_run_sees_the_users_own(own: str) -> None:
    nested = {"PYTHONPATH": os.fsdecode(with_child({b"PYTHONPATH": os.fsencode(own)})[b"PYTHONPATH"]), "B": "2"}
    assert without_child(nested) == {"PYTHONPATH": own, "B": "2"}
    assert without_child({"PYTHONPATH": SITE, "B": "2"}) == {"B": "2"}
    assert without_child({"B": "2"}) == {"B": "2"}
    assert without_child({"PYTHONPATH": "", "B": "2"}) == {"PYTHONPATH": "", "B": "2"}


def test_a_place_that_no_path_can_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "SITE", "/odd:place/site")
    assert with_child({b"PYTHONPATH": b"a"}) == {b"PYTHONPATH": b"a"}


def test_the_place_holds_one_file() -> None:
    assert [name for name in os.listdir(SITE) if name != "__pycache__"] == ["sitecustomize.py"]
