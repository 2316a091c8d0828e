"""Bytes under .git per run of a one-line change, and what a thousand runs cost the user's own git commands.

Three copies of one repository get the same one-line changes: recorded by gitrun, frozen by four git
plumbing calls, and committed on ordinary branches of two commits each (a run is two commits as well).
Afterwards `git status`, `git log` and `git gc` are timed in the first and the third.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from pathlib import Path

from ground import change_line, disk_bytes, interleaved, make_repository, report, run, scratch, source_name, timed
from record import four_calls, gitrun_command

BOUND_KIB = 8
BOUNDS = {"status": 1.1, "log": 1.1, "gc": 1.2}
COMMANDS = {"status": ["git", "status", "--porcelain"], "log": ["git", "log", "--decorate=short", "--stat"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench disk", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--gc-rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="leave the repositories behind")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    with scratch(args.keep) as root:
        repos = make_copies(root, args.files)
        per_run = {name: grow(repos[name], name, args.runs, args.files) for name in repos}
        times = compare_commands(repos, args.rounds)
        times["gc"], times["gc again"] = compare_gc(root, repos, args.gc_rounds)
    rows = [
        (f"gitrun, per run over {args.runs} runs", f"{per_run['gitrun'] / 1024:.1f} KiB", f"at most {BOUND_KIB} KiB"),
        ("four git plumbing calls", f"{per_run['plumbing'] / 1024:.1f} KiB", "yardstick"),
        ("ordinary branches of two commits", f"{per_run['branches'] / 1024:.1f} KiB", "yardstick"),
    ]
    for name, ratio in times.items():
        bound = f"at most {BOUNDS[name.split()[0]]}"
        rows.append((f"git {name}, gitrun ÷ branches", f"{ratio:.2f}", bound))
    report("disk", rows, {"bytes_per_run": per_run, "ratios": times}, args.json)


def make_copies(root: Path, files: int) -> dict[str, Path]:
    first = root / "gitrun"
    first.mkdir()
    make_repository(first, files, commits=50)
    run("git", "gc", "-q", cwd=first)
    copies = {"gitrun": first}
    for name in ("plumbing", "branches"):
        copies[name] = root / name
        shutil.copytree(first, copies[name], symlinks=True)
    for repo in copies.values():
        run("git", "status", cwd=repo)  # a copy's index needs its new stat data
    return copies


def grow(repo: Path, kind: str, runs: int, files: int) -> float:
    """Bytes under .git per run after `runs` runs."""
    gitrun = gitrun_command()
    before = disk_bytes(repo / ".git")
    for number in range(runs):
        path = repo / source_name(number % files)
        committed = path.read_bytes()
        change_line(repo, number % files, f"run {number}")
        if kind == "gitrun":
            run(*gitrun, "record", "--quiet", "--", "true", cwd=repo)
        elif kind == "plumbing":
            four_calls(repo)
        else:
            two_commits(repo, number)
        path.write_bytes(committed)
        if number % 20 == 19:
            run("git", "status", cwd=repo)  # as a user does now and then: it refreshes the index
    return (disk_bytes(repo / ".git") - before) / runs


def two_commits(repo: Path, number: int) -> None:
    """An ordinary branch: the change, then a small file beside it, as a user would commit them."""
    run("git", "checkout", "-q", "-b", f"try/{number}", cwd=repo)
    run("git", "commit", "-q", "-a", "-m", f"try {number}", cwd=repo)
    (repo / "result.json").write_text(f'{{"run": {number}, "status": "completed"}}\n')
    run("git", "add", "result.json", cwd=repo)
    run("git", "commit", "-q", "-m", f"result {number}", cwd=repo)
    run("git", "checkout", "-q", "-f", "main", cwd=repo)


def compare_commands(repos: dict[str, Path], rounds: int) -> dict[str, float]:
    """For each of the user's commands, its time in the recorded repository over that in the ordinary one."""
    cases = {
        (name, kind): (lambda words=words, kind=kind: run(*words, cwd=repos[kind]))
        for name, words in COMMANDS.items()
        for kind in ("gitrun", "branches")
    }
    medians = interleaved({f"{name} {kind}": work for (name, kind), work in cases.items()}, rounds)
    return {name: medians[f"{name} gitrun"] / medians[f"{name} branches"] for name in COMMANDS}


def compare_gc(root: Path, repos: dict[str, Path], rounds: int) -> tuple[float, float]:
    """Ratios of the first `git gc`, each on a fresh copy, and of one that has nothing left to do."""
    first: dict[str, list[float]] = {"gitrun": [], "branches": []}
    again: dict[str, list[float]] = {"gitrun": [], "branches": []}
    for _ in range(rounds):
        for kind in first:
            copy = root / "gc-copy"
            shutil.copytree(repos[kind], copy, symlinks=True)
            os.sync()
            first[kind].append(timed(lambda copy=copy: run("git", "gc", "-q", cwd=copy)))
            again[kind].append(timed(lambda copy=copy: run("git", "gc", "-q", cwd=copy)))
            shutil.rmtree(copy)
    return tuple(statistics.median(times["gitrun"]) / statistics.median(times["branches"]) for times in (first, again))  # type: ignore[return-value]
