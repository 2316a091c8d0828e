"""How long lists of many runs take: `gitrun ls` with a filter and an order, the index from nothing, one run more.

    python scripts/bench_lib/find.py [--runs 10000] [--rounds 5]

The runs are sealed records like those of real trainings: twelve config values, five metrics. They are written in one
pack and packed refs, since what is measured is reading. Bounds: 0.35 s for the whole process of a filtered and sorted
list, 20 s for the index of 10,000 runs, 10 ms to bring it up to date after one more. Beside it: a plain Python that
starts, asks a plain SQLite table the same and prints, which is as fast as this could be.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sqlite3
import statistics
import sys
import time
from pathlib import Path

import ground

from gitrun.archive.archive import Archive
from gitrun.archive.index_db import Index, with_index
from gitrun.archive.message import encode_message
from gitrun.git.executable import find_git
from gitrun.git.identity import FALLBACK
from gitrun.git.packs import PackWriter
from gitrun.git.repository import Repository, discover
from gitrun.git.trees import FILE, TreeEntry, encode_commit, encode_tree
from gitrun.model.canonical import encode
from gitrun.model.ids import new_run_id
from gitrun.model.times import iso
from gitrun.store.config import load_or_create

FIRST_S = 1_780_000_000
WHERE = "metrics.loss < 0.3 and config.lr == 0.01 and status == completed"
BOUNDS_S = {"ls": 0.35, "from nothing": 20.0, "one run more": 0.010}
PLAIN = """
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute(
    "SELECT id, loss, lr FROM runs WHERE loss < 0.3 AND lr = 0.01 AND status = 'completed' ORDER BY loss")
for row in rows:
    print(*row, sep="\\t")
"""


def record_of(run_id: str, started_s: int, chance: random.Random, writer: str) -> tuple[dict, dict]:
    """A record and its config.json."""
    values = {f"model.option_{n}": n for n in range(8)}
    values |= {"lr": chance.choice([0.1, 0.01, 0.001]), "seed": chance.randrange(10), "data": "cifar10", "wd": 0.0}
    metrics = {}
    for name in ("loss", "acc", "val/loss", "val/acc", "grad_norm"):
        low, last, high = sorted(chance.random() for _ in range(3))
        steps = {"last_step": 999, "min_step": 500, "max_step": 0}
        metrics[name] = {"count": 1000, "min": low, "max": high, "first": high, "last": last, **steps}
    provenance = {name: {"source": "argv"} for name in values}
    config = {"format": 1, "requires": [], "values": values, "provenance": provenance}
    content = encode(config)
    record = {
        "format": 1,
        "requires": [],
        "id": run_id,
        "command": ["python", "train.py", f"--lr={values['lr']}"],
        "status": chance.choice(["completed"] * 9 + ["failed"]),
        "exit": {"code": 0, "signal": None},
        "started_at": iso(started_s * 10**9),
        "ended_at": iso((started_s + 60) * 10**9),
        "duration_s": 60.0,
        "origin": writer,
        "name": f"run-{started_s % 97}",
        "metrics": metrics,
        "members": [{"host": "node7"}],
        "source": {"tree": None, "branch": "main", "dirty": False, "modified": [f"f{n}.py" for n in range(5)]},
        "coverage": dict.fromkeys(("source", "environment", "config", "inputs", "lock"), "complete"),
        "parts": {
            "config.json": {"in": "tree", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        },
    }
    return record, config


def seal_many(root: Path, first: int, count: int) -> list[str]:
    """Runs number `first` and on, in one pack and in packed-refs; their ids."""
    repo: Repository = discover(str(root), find_git(environ=os.environ), os.environ)
    origin = load_or_create(repo.gitrun_dir(os.environ)).writer
    chance = random.Random(first)
    writer = PackWriter(repo.objects_dir, repo.object_format)
    lines, ids = [], []
    for number in range(first, first + count):
        started_s = FIRST_S + number * 7
        run_id = new_run_id(started_s, chance.randbytes(4))
        record, config = record_of(run_id, started_s, chance, origin)
        files = {"run.json": encode(record), "config.json": encode(config)}
        entries = [TreeEntry(name.encode(), FILE, writer.add("blob", data)) for name, data in files.items()]
        tree = writer.add("tree", encode_tree(entries))
        message = encode_message(record).encode()
        commit = writer.add("commit", encode_commit(tree, [], FALLBACK, started_s, "+0000", message))
        lines.append(f"create refs/gitrun/runs/{run_id} {commit}\n")
        ids.append(run_id)
    writer.finish(sync=False)
    ground.run("git", "update-ref", "--stdin", cwd=root, input="".join(lines).encode())
    ground.run("git", "pack-refs", "--all", cwd=root)
    return ids


def update_s(root: Path) -> tuple[float, float]:
    """Wall seconds, and those of this process, until an open index is up to date with refs that were just read."""
    taken = used = 0.0
    real = Index.update

    def timed(index: Index, archive: Archive) -> None:
        nonlocal taken, used
        archive.sealed()
        before_s = time.process_time()
        taken = ground.timed(lambda: real(index, archive))
        used = time.process_time() - before_s

    Index.update = timed  # type: ignore[method-assign]
    try:
        with Archive.open(str(root), os.environ) as archive:
            with_index(archive, lambda index: None)
    finally:
        Index.update = real  # type: ignore[method-assign]
    return taken, used


def plain_table(root: Path, path: Path) -> None:
    """What the yardstick asks: the same runs in a table with one column for each thing asked for."""
    from gitrun.archive.keys import Key
    from gitrun.archive.querying import ask

    names = {"loss": "metrics.loss", "lr": "config.lr", "status": "status"}
    with Archive.open(str(root), os.environ) as archive:
        columns = ask(archive, lambda runs: {n: runs.column(Key(k)) for n, k in names.items()})
        ids = archive.run_ids()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE runs (id, loss, lr, status)")
    database.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, ?)", [(i, *(columns[n].get(i) for n in names)) for i in ids]
    )
    database.commit()
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    with ground.scratch() as scratch:
        root = scratch / "repo"
        root.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        ground.run("git", "init", "-q", ".", cwd=root)
        seal_many(root, 0, options.runs)
        from_nothing_s = ground.timed(lambda: list_runs(root, "-n", "1"))
        plain_table(root, scratch / "plain.db")
        cases = {
            "ls, filtered and sorted": lambda: list_runs(root, WHERE, "--sort", "metrics.loss"),
            "ls, the newest 50": lambda: list_runs(root, "-n", "50"),
            "plain sqlite": lambda: ground.run(sys.executable, "-c", PLAIN, str(scratch / "plain.db"), cwd=root),
        }
        times = ground.interleaved(cases, options.rounds)
        more = []
        for number in range(options.rounds):
            seal_many(root, options.runs + number, 1)
            more.append(update_s(root))
        size = sum(path.stat().st_size for path in (scratch / "cache").rglob("index.db"))
        shutil.rmtree(scratch / "cache")
    seconds = {
        **times,
        "index from nothing": from_nothing_s,
        "index, one run more": statistics.median(wall for wall, _ in more),
    }
    seconds["  of it computing"] = statistics.median(used for _, used in more)  # all of it where nobody else computes
    bounds = {
        "ls, filtered and sorted": BOUNDS_S["ls"],
        "index from nothing": BOUNDS_S["from nothing"],
        "index, one run more": BOUNDS_S["one run more"],
    }
    rows = [
        (name, f"{took * 1000:,.1f} ms", f"at most {bounds[name] * 1000:,.0f} ms" if name in bounds else "")
        for name, took in seconds.items()
    ]
    ground.report(
        f"{options.runs:,} runs", [*rows, ("index on the disk", f"{size / 2**20:.1f} MiB", "")], seconds, options.json
    )
    if any(seconds[name] > bound for name, bound in bounds.items()):
        sys.exit(1)


def list_runs(root: Path, *words: str) -> str:
    """What `gitrun ls` prints, as a whole process."""
    return ground.run(sys.executable, "-m", "gitrun", "ls", *words, cwd=root)


if __name__ == "__main__":
    main()
