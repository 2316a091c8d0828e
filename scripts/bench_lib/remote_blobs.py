"""Sending blobs: through Git against git's defaults, to a directory against `cp`, and the memory it takes.

Both sides send the same bytes, packs of noise as checkpoints leave them, to a bare repository or a directory on this
disk. `cp` is measured as it is, and followed by `sync`: what gitrun has sent is durable, what `cp` has copied is not.
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

from ground import report, run, scratch, timed

MIB = 1 << 20
WRITE = """
import os, sys
os.makedirs("out", exist_ok=True)
for n in range(int(sys.argv[1])):
    with open(f"out/{n:04}.bin", "wb") as file: file.write(os.urandom(1 << 20))
"""
SEND = """
import os, sys, time
from gitrun.archive.archive import Archive
from gitrun.remote.blobs import Sending
from gitrun.remote.stores.opening import open_url
archive = Archive.open(".", os.environ)
runs = list(archive.newest_first())
started = time.perf_counter()
with Sending(archive, open_url(sys.argv[1])) as sending:
    plan = sending.plan(runs)
    sending.send(plan)
    sending.check(plan)
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench remote-blobs", description=__doc__)
    parser.add_argument("--mib", type=int, default=732)
    parser.add_argument("--rounds", type=int, default=5, help="of the directory; Git is measured once")
    parser.add_argument("--without-git", action="store_true", help="git's defaults take minutes")
    parser.add_argument("--json")
    asked = parser.parse_args()
    with scratch() as root:
        repo, packs = _record(root, asked.mib)
        rows, data = _directory(root, repo, packs, asked.rounds)
        if not asked.without_git:
            more, told = _git(root, repo, packs)
            rows, data = rows + more, {**data, **told}
    report(f"{asked.mib} MiB of blobs", rows, data, asked.json)


def _record(root: Path, mib: int) -> tuple[Path, Path]:
    repo = root / "repo"
    repo.mkdir()
    (repo / "write.py").write_text(WRITE)
    (repo / ".gitignore").write_text("out/\n")
    run("git", "init", "-q", "-b", "main", str(repo), cwd=root)
    run("git", "add", "-A", cwd=repo)
    run("git", "commit", "-q", "-m", "first", cwd=repo)
    words = ("record", "--keep", "out/*", "--", sys.executable, "write.py", str(mib))
    run(sys.executable, "-m", "gitrun", *words, cwd=repo)
    return repo, repo / ".git" / "gitrun" / "store" / "packs"


def _directory(root: Path, repo: Path, packs: Path, rounds: int) -> tuple[list[tuple[str, str, str]], dict[str, float]]:
    shelf, copy = root / "shelf", root / "copy"
    ours, plain, durable = [], [], []
    for _ in range(rounds + 1):
        for old in (shelf, copy):
            shutil.rmtree(old, ignore_errors=True)
        os.sync()
        ours.append(float(run(sys.executable, "-c", SEND, f"file://{shelf}", cwd=repo)))
        os.sync()
        plain.append(timed(lambda: run("cp", "-r", str(packs), str(copy), cwd=root)))
        durable.append(plain[-1] + timed(lambda: run("sync", "-f", str(copy), cwd=root)))
    seconds = {name: statistics.median(times[1:]) for name, times in (("send", ours), ("cp", plain), ("sync", durable))}
    rows = [
        ("to a directory", f"{seconds['send']:.2f} s", ""),
        ("cp -r", f"{seconds['cp']:.2f} s", f"{seconds['cp'] / seconds['send']:.2f} of its speed"),
        ("cp -r, sync", f"{seconds['sync']:.2f} s", f"{seconds['sync'] / seconds['send']:.2f} of its speed (>= 0.6)"),
    ]
    return rows, seconds


def _git(root: Path, repo: Path, packs: Path) -> tuple[list[tuple[str, str, str]], dict[str, float]]:
    for name in ("ours.git", "theirs.git"):
        run("git", "init", "-q", "--bare", str(root / name), cwd=root)
    run("git", "remote", "add", "origin", str(root / "ours.git"), cwd=repo)
    run("git", "push", "-q", "origin", "main", cwd=repo)
    seconds, peak = _watched([sys.executable, "-m", "gitrun", "push", "--yes", "--quiet", "origin"], repo)
    plain = root / "plain"
    run("git", "init", "-q", str(plain), cwd=root)
    for path in packs.rglob("*.gpk"):
        shutil.copy(path, plain)

    def git_alone() -> None:
        run("git", "add", "-A", cwd=plain)
        run("git", "commit", "-q", "-m", "packs", cwd=plain)
        run("git", "push", "-q", str(root / "theirs.git"), "HEAD:refs/heads/main", cwd=plain)

    theirs = timed(git_alone)
    rows = [
        ("inside Git", f"{seconds:.1f} s", f"{theirs / seconds:.1f} x as fast as git's defaults (>= 5)"),
        ("git add, commit, push", f"{theirs:.1f} s", ""),
        ("memory of all processes", f"{peak / MIB:.0f} MiB", "(<= 128 MiB)"),
    ]
    return rows, {"git": seconds, "git_defaults": theirs, "peak_bytes": peak}


def _watched(words: list[str], cwd: Path) -> tuple[float, int]:
    """Seconds of wall time, and the most memory that a command and all below it had at once, mapped files included."""
    started = time.perf_counter()
    process = subprocess.Popen(words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_memory, _family(process.pid))))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - started, peak


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
