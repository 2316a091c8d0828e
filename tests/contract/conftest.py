"""The command line called in this process, on runs that were sealed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.cli.app import main
from tests.conftest import Result
from tests.hand import Hand


@pytest.fixture
def hand(make_repo: Callable[..., Path]) -> Hand:
    """A hand on a fresh repository."""
    return Hand(make_repo())


@pytest.fixture
def call(
    hand: Hand, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Result]:
    """`call("ls", "--json")`: one command in the repository, with what it printed."""
    monkeypatch.chdir(hand.root)

    def run(*arguments: str) -> Result:
        capfdbinary.readouterr()
        code = main(list(arguments))
        out, err = capfdbinary.readouterr()
        return Result(code, out, err, arguments)

    return run
