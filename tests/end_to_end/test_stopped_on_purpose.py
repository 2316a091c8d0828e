"""A command that is watched while it is recorded: stopped as `kill` would stop it, and sealed as any run is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = """
import json, os, sys
from gitrun.monitor import SILENT
from gitrun.recording.record import record
from gitrun.recording.request import RecordRequest

seen = {{}}

def watcher(running):
    {watch}

done = record(RecordRequest([os.fsencode(word) for word in {command!r}], watcher=watcher), os.environ, SILENT)
print(json.dumps([done.status, done.sealed, done.exit_code, seen]))
"""


def recorded(repo: Path, watch: str, *command: str) -> Any:
    script = PROGRAM.format(watch="\n    ".join(watch.splitlines()), command=list(command))
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_ends_when_it_is_stopped(make_repo: Callable[..., Path]) -> None:
    watch = "assert not running.wait(0.2) and os.path.isdir(running.member)\nseen['stopped'] = running.stop()"
    began = time.monotonic()
    assert recorded(make_repo({"a": ""}), watch, "sleep", "30") == ["interrupted", True, 143, {"stopped": True}]
    assert time.monotonic() - began < 15


def test_what_ignores_the_request_is_killed_with_all_it_started(make_repo: Callable[..., Path]) -> None:
    repo = make_repo({"a": ""})
    script = "trap '' TERM; sleep 30 & echo $! > pid; sleep 31 & wait; wait"
    watch = (
        "while not os.path.exists('pid') or not os.path.getsize('pid'):\n    running.wait(0.05)\n"
        "seen['stopped'] = running.stop(grace_s=0.3)"
    )
    status, sealed, code, seen = recorded(repo, watch, "sh", "-c", script)
    assert (sealed, code, seen) == (True, 137, {"stopped": True}) and status in ("failed", "interrupted")
    assert not Path(f"/proc/{(repo / 'pid').read_text().strip()}/cmdline").exists()


def test_one_that_has_ended_is_not_stopped(make_repo: Callable[..., Path]) -> None:
    watch = "seen['ended'] = running.wait(20)\nseen['stopped'] = running.stop()"
    found = recorded(make_repo({"a": ""}), watch, "true")
    assert found == ["completed", True, 0, {"ended": True, "stopped": False}]


def test_a_watcher_with_a_bug_costs_the_run_nothing(make_repo: Callable[..., Path]) -> None:
    assert recorded(make_repo({"a": ""}), "raise KeyError('no')", "true") == ["completed", True, 0, {}]
