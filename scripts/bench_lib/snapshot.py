"""How long a snapshot takes, beside `copy the index; git add -A; git write-tree` on the same repository.

For each size a repository is made with 1 % of its files modified, 1 % untracked and an ignored folder
of 20,000 files. "new": the objects of the change are nowhere yet, for either side. "exist": both have
them already (git in its object database, gitrun in its own pack). Each figure is the median of
interleaved rounds; the ratio is what travels between machines.

    scripts/bench snapshot [FILES...]          default: 1000 10000 50000 200000
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gitrun.capture.snapshot import take_snapshot
from gitrun.git.executable import find_git
from gitrun.git.repository import Repository, discover
from gitrun.settings import load
from gitrun.store.blobs import BlobStore

SIZES = (1_000, 10_000, 50_000, 200_000)
IGNORED = 20_000
ENV = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
GOALS = {"new": 0.5, "exist": 1.2}


def git(root: Path, *args: str, **env: str) -> None:
    """Run git quietly; a failure is an error."""
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    subprocess.run(["git", "-C", str(root), *who, *args], env={**ENV, **env}, check=True, stdout=subprocess.DEVNULL)


def make(root: Path, files: int) -> None:
    """A repository of so many files in directories of 20, 50 of those to a directory above."""
    subprocess.run(["git", "init", "-q", str(root)], env=ENV, check=True)
    for n in range(files):
        path = root / f"package{n // 1000}" / f"module{n // 20 % 50}" / f"file{n}.py"
        if n % 20 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {n}\n" * 40)
    (root / ".gitignore").write_text("*.pyc\n/ignored/\n__pycache__/\n*.py[cod]\n.env\n")
    for n in range(IGNORED):
        path = root / "ignored" / str(n // 500) / f"{n}.dat"
        if n % 500 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"ignored")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    time.sleep(1.1)  # so that no entry is as young as the index
    git(root, "update-index", "-q", "--refresh")


def change(root: Path, files: int, label: str) -> None:
    """Modify 1 % of the files and write as many untracked ones."""
    for n in range(50, files, 100):
        path = root / f"package{n // 1000}" / f"module{n // 20 % 50}" / f"file{n}.py"
        path.write_text(f"value = {n}\nchanged = {label!r}\n" * 20)
        (path.parent / f"new{n}.py").write_text(f"new = {n}, {label!r}\n" * 20)


def by_git(root: Path) -> float:
    """Seconds git takes on a copy of the index."""
    copy = root / ".git" / "bench-index"
    start = time.perf_counter()
    shutil.copy2(root / ".git" / "index", copy)
    git(root, "add", "-A", GIT_INDEX_FILE=str(copy))
    git(root, "write-tree", GIT_INDEX_FILE=str(copy))
    took = time.perf_counter() - start
    copy.unlink()
    return took


def by_gitrun(repo: Repository) -> float:
    """Seconds a snapshot takes; its pack is synced afterwards, as in a recording once the command runs."""
    settings = load(repo.worktree, repo.config, ENV)
    start = time.perf_counter()
    shot = take_snapshot(repo, repo, lambda: BlobStore(repo.gitrun_dir(ENV)), settings, environ=ENV)
    took = time.perf_counter() - start
    if shot.pack is not None:
        shot.pack.sync()
    return took


def forget(root: Path) -> None:
    """Remove the packs that earlier rounds left, so that objects are new again."""
    for keep in (root / ".git/objects/pack").glob("*.keep"):
        for suffix in (".idx", ".pack", ".keep"):
            keep.with_suffix(suffix).unlink()


def compare(root: Path, files: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians in milliseconds and their ratio, for new and for existing objects."""
    repo = discover(str(root), find_git(ENV), ENV)
    times: dict[tuple[str, str], list[float]] = {}

    def timed(case: str, side: str, call: Callable[[], float]) -> None:
        times.setdefault((case, side), []).append(call() * 1000)

    for n in range(rounds):
        change(root, files, f"gitrun {n}")
        timed("new", "gitrun", lambda: by_gitrun(repo))
        timed("exist", "gitrun", lambda: by_gitrun(repo))
        change(root, files, f"git {n}")
        timed("new", "git", lambda: by_git(root))
        timed("exist", "git", lambda: by_git(root))
        forget(root)
    result = {}
    for case in ("new", "exist"):
        ours, gits = (statistics.median(times[case, side]) for side in ("gitrun", "git"))
        result[case] = {"gitrun_ms": round(ours, 1), "git_ms": round(gits, 1), "ratio": round(ours / gits, 2)}
    return result


def main() -> int:
    """Print one JSON line for each size named on the command line; 1 when a ratio misses its goal."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench snapshot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=int, default=SIZES, help="sizes of the repositories, in files")
    missed = 0
    for files in parser.parse_args().files:
        with tempfile.TemporaryDirectory(prefix="gitrun-bench-") as directory:
            root = Path(directory) / "repo"
            make(root, files)
            result = compare(root, files, 3 if files > 20_000 else 5)
        missed += sum(result[case]["ratio"] > goal for case, goal in GOALS.items())
        print(json.dumps({"snapshot": files, **result}), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
