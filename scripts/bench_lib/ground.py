"""What the measurements share: a scratch repository, interleaved timing, one table.

Absolute times say little on another machine, so each case is timed beside its yardstick, round by
round, and the result is a ratio of medians or a difference of medians of one run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


@contextlib.contextmanager
def scratch(keep: bool = False) -> Iterator[Path]:
    """A directory for one measurement, with an environment that nobody's configuration reaches."""
    root = Path(tempfile.mkdtemp(prefix="gitrun-bench-"))
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITRUN_"))]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    who = {"NAME": "Bench", "EMAIL": "bench@example.org"}
    os.environ.update({f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()})
    os.environ.update(HOME=str(root), GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    try:
        yield root
    finally:
        if keep:
            print(f"kept {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)


def run(*args: str, cwd: Path, env: Mapping[str, str] | None = None, input: bytes | None = None) -> str:
    """Run a command that must succeed and return its output."""
    environ = {**os.environ, **(env or {})}
    stdin = subprocess.DEVNULL if input is None else None
    done = subprocess.run(args, cwd=cwd, env=environ, stdin=stdin, input=input, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(args)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def make_repository(root: Path, files: int, commits: int = 1) -> Path:
    """A repository of `files` Python files of about 2 KB in folders of 50, with `commits` commits."""
    for number in range(files):
        path = root / source_name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source_text(number))
    run("git", "init", "-q", "-b", "main", str(root), cwd=root)
    run("git", "config", "gc.auto", "0", cwd=root)
    run("git", "add", "-A", cwd=root)
    run("git", "commit", "-q", "-m", "first", cwd=root)
    for number in range(1, commits):
        change_line(root, number % files, f"commit {number}")
        run("git", "commit", "-q", "-a", "-m", f"commit {number}", cwd=root)
    return root


def source_name(number: int) -> str:
    return f"package{number // 50:04d}/module{number:06d}.py"


def source_text(number: int) -> str:
    lines = [f"def function_{number}_{line}(x):\n    return x * {number} + {line}\n" for line in range(40)]
    return "note = ''\n" + "\n".join(lines)


def change_line(root: Path, number: int, note: str) -> None:
    """A one-line change of a source file."""
    path = root / source_name(number)
    path.write_text(f"note = {note!r}\n" + path.read_text().split("\n", 1)[1])


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    cases: Mapping[str, Callable[[], object]], rounds: int, before: Callable[[int], object] = lambda _: None
) -> dict[str, float]:
    """The median seconds of each case; every round runs every case, each after `before(step)`."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    step = 0
    for number in range(rounds + 1):
        for name, work in cases.items():
            before(step)
            step += 1
            seconds = timed(work)
            if number > 0:  # the first round warms caches
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def disk_bytes(path: Path) -> int:
    """Bytes that the files below `path` take on the disk, as `du` counts them."""
    return int(run("du", "-s", "--block-size=1", str(path), cwd=path).split()[0])


def report(title: str, rows: Sequence[tuple[str, str, str]], data: object, json_file: str | None) -> None:
    """Print rows of (what, measured, yardstick or bound); write `data` where --json says."""
    print(title)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if json_file:
        Path(json_file).write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
