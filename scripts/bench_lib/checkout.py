"""How long a checkout takes, against `git worktree add --detach` of the same commit in the same run.

    python scripts/bench_lib/checkout.py [--files 10000] [--rounds 5]

Both sides write the same files of a fresh repository, in turn, so that the machine's moods hit
both alike; the figure is the ratio of the medians. The acceptance figures are 1.2 with a git
executable and 2.5 without one.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gitrun.archive.archive import Archive
from gitrun.replay.checkout import checkout
from gitrun.replay.source import Source

LIMITS = {"with git": 1.2, "without git": 2.5}
WHEN_NS = 1_700_000_000 * 10**9


def make_repository(root: Path, files: int) -> str:
    """A repository with one commit of `files` source-like files; returns the commit."""
    chance = random.Random(1)
    lines = ["import os\n", "x = 1\n", "def f(a):\n    return a\n", "    yield from range(10)\n"]
    for n in range(files):
        folder = root / f"pkg{n % 100:03d}" / f"sub{n // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{n}.py").write_text(f"# {n}\n" + "".join(chance.choices(lines, k=chance.randint(5, 200))))
    git(root, "init", "-q", ".")
    git(root, "config", "gc.auto", "0")
    git(root, "add", "-A")
    git(root, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "all")
    git(root, "gc", "-q")
    return git(root, "rev-parse", "HEAD")


def git(root: Path, *args: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *args], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def timed(call: Callable[..., object], *args: object) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call(*args)
    return time.perf_counter() - started


def measure(root: Path, work: Path, commit: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of every round for git's own checkout and for ours, with and without git."""
    tree = git(root, "rev-parse", commit + "^{tree}")
    facts = {"tree": tree, "base": commit, "detached": True}
    source = Source("bench", tree, None, facts, [], [], [], WHEN_NS, {})
    environments = {"with git": dict(os.environ), "without git": {**os.environ, "GITRUN_GIT_EXECUTABLE": "none"}}
    seconds: dict[str, list[float]] = {"git worktree": [], **{name: [] for name in environments}}
    for n in range(rounds):
        target = work / f"git{n}"
        seconds["git worktree"].append(timed(git, root, "worktree", "add", "--detach", "-f", str(target), commit))
        shutil.rmtree(target)
        for name, environ in environments.items():
            with Archive.open(str(root), environ) as archive:
                place = str(work / f"ours{n}")
                seconds[name].append(timed(checkout, archive, source, place))
            shutil.rmtree(place)
    return seconds


def main() -> int:
    """Print the medians and ratios; exit 1 when one is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "repo")
        root.mkdir()
        commit = make_repository(root, options.files)
        seconds = measure(root, Path(scratch), commit, options.rounds)
    base = statistics.median(seconds["git worktree"])
    print(f"git worktree add --detach, {options.files} files: {base * 1000:.0f} ms")
    failed = False
    for name, limit in LIMITS.items():
        ratio = statistics.median(seconds[name]) / base
        failed = failed or ratio > limit
        print(f"checkout {name}: {statistics.median(seconds[name]) * 1000:.0f} ms, {ratio:.2f} (at most {limit})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
