"""The wall time `gitrun record -- python -c pass` adds to `python -c pass`, next to four git plumbing calls.

Three files are changed and two are untracked, with new content before every single timing, so each
snapshot has new objects; the environment has been seen before. The time until the command starts is
taken apart: the command is `date`, which prints the clock. The Python is one of an empty virtual environment:
a checkout that is installed for editing, as gitrun may be in its own, would be captured with every run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ground import change_line, interleaved, make_repository, report, run, scratch

BOUNDS_MS = {200: 100, 10_000: 200}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench record", description=__doc__)
    parser.add_argument("--files", type=int, action="append", help="repository size (default: 200 and 10000)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    rows, data = [], {}
    for files in args.files or sorted(BOUNDS_MS):
        with scratch() as root:
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "plain"], check=True)
            result = measure(root / "repo", files, args.rounds, [str(root / "plain/bin/python"), "-c", "pass"])
        data[str(files)] = result
        bound = f"at most {BOUNDS_MS[files]} ms" if files in BOUNDS_MS else ""
        rows.append((f"{files} files: record adds", f"{result['added_ms']:.1f} ms", bound))
        rows.append(("  until the command starts", f"{result['spawn_ms']:.1f} ms", ""))
        rows.append(("  four git plumbing calls add", f"{result['plumbing_ms']:.1f} ms", "yardstick"))
        rows.append(("  python -c pass itself", f"{result['bare_ms']:.1f} ms", ""))
    report(f"record: medians of {args.rounds} interleaved rounds", rows, data, args.json)


def measure(repo: Path, files: int, rounds: int, program: list[str]) -> dict[str, float]:
    repo.mkdir()
    make_repository(repo, files)
    gitrun = gitrun_command()

    def edit(step: int) -> None:
        for number in range(3):
            change_line(repo, number * 7 % files, f"step {step}")
        for number in range(2):
            (repo / f"untracked{number}.py").write_text(f"step = {step}\n")

    def plumbing() -> None:
        four_calls(repo)
        subprocess.run(program, cwd=repo, check=True)

    times = interleaved(
        {
            "bare": lambda: subprocess.run(program, cwd=repo, check=True),
            "record": lambda: run(*gitrun, "record", "--", *program, cwd=repo),
            "plumbing": plumbing,
        },
        rounds,
        before=edit,
    )
    recorded, bare = [], []
    for step in range(rounds):
        edit(10_000 + step)
        recorded.append(seconds_to_start([*gitrun, "record", "--"], repo))
        bare.append(seconds_to_start([], repo))
    return {
        "bare_ms": times["bare"] * 1e3,
        "added_ms": (times["record"] - times["bare"]) * 1e3,
        "plumbing_ms": (times["plumbing"] - times["bare"]) * 1e3,
        "spawn_ms": (statistics.median(recorded) - statistics.median(bare)) * 1e3,
    }


def gitrun_command() -> list[str]:
    """The installed script, as a user starts it."""
    beside = Path(sys.executable).with_name("gitrun")
    return [str(beside)] if beside.exists() else [shutil.which("gitrun") or "gitrun"]


def four_calls(repo: Path) -> None:
    """What a careful shell script would do: the least that freezes the source as a commit with Git's own tools."""
    index = repo / ".git" / "bench-index"
    shutil.copy2(repo / ".git" / "index", index)
    env = {"GIT_INDEX_FILE": str(index)}
    run("git", "add", "-A", cwd=repo, env=env)
    tree = run("git", "write-tree", cwd=repo, env=env)
    commit = run("git", "commit-tree", "-p", "HEAD", "-m", "bench", tree, cwd=repo)
    run("git", "update-ref", f"refs/bench/{time.time_ns()}", commit, cwd=repo)


def seconds_to_start(before: list[str], repo: Path) -> float:
    start = time.time()
    shown = subprocess.run(
        [*before, "date", "+%s.%N"], cwd=repo, env=os.environ, check=True, capture_output=True, text=True
    )
    return float(shown.stdout) - start
