"""Runs a program twice, as it is and with the child in it, and tells both results apart."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gitrun.capture.observed import Observed, read_observed
from gitrun.recording.injection import with_child

DROPPED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START", "GITRUN_RUN_DIR", "PYTHONHASHSEED")


class Ended(NamedTuple):
    """How a program ended and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


class Both(NamedTuple):
    """The program as it is, the program with the child, and what that reported."""

    bare: Ended
    child: Ended
    observed: Observed


def pythons() -> list[str]:
    """This interpreter, and one of each other release that pyenv has."""
    found = {sys.version_info[:2]: sys.executable}
    for path in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")):
        match = re.match(r"3\.([0-9]+)\.", path.parts[-3])
        if match and int(match[1]) >= 8:
            found.setdefault((3, int(match[1])), str(path))
    return [found[key] for key in sorted(found)]


def variables(run: Path | None, **more: str) -> dict[str, str]:
    """The variables for a program, with the child in them where there is a run."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    kept.update(more)
    if run is None:
        return kept
    raw = with_child({os.fsencode(name): os.fsencode(value) for name, value in kept.items()})
    raw[b"GITRUN_RUN_DIR"] = os.fsencode(run)
    return {os.fsdecode(name): os.fsdecode(value) for name, value in raw.items()}


def execute(argv: Sequence[str | bytes], cwd: Path, env: dict[str, str], stdin: bytes = b"") -> Ended:
    done = subprocess.run(argv, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


def make_run(place: Path) -> Path:
    """A run's directory, as far as the child needs it."""
    (place / "members" / "0").mkdir(parents=True)
    return place


def both(
    words: Sequence[str | bytes],
    work: Path,
    run: Path,
    *,
    python: str = sys.executable,
    stdin: bytes = b"",
    **more: str,
) -> Both:
    """Runs `python *words` both ways in `work`; `more` are variables."""
    bare = execute([python, *words], work, variables(None, **more), stdin)
    child = execute([python, *words], work, variables(run, **more), stdin)
    return Both(bare, child, read_observed(str(run / "members" / "0")))


def killed(number: signal.Signals) -> int:
    return -int(number)
