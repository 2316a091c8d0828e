from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.child.twice import Both, both, make_run


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The program's own directory."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A live run, as far as the child needs one."""
    return make_run(tmp_path / "run")


@pytest.fixture
def twice(work: Path, run: Path) -> Callable[..., Both]:
    """Writes a script and runs it as it is and with the child."""

    def start(script: str, *words: str, options: tuple[str, ...] = (), **more: Any) -> Both:
        (work / "program.py").write_text(script)
        return both([*options, "program.py", *words], work, run, **more)

    return start
