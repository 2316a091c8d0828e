"""`scripts/bench NAME`: one measurement per file of this folder, each with a `main()` that reads sys.argv."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = {
    "record": "wall time that `gitrun record` adds to a command, and the time until the command starts",
    "outputs": "what looking for outputs adds to a recording, and storing them",
    "disk": "bytes under .git per run, and what many runs cost the user's own git commands",
    "system": "what looking at the machine takes of a core, for few and for many processes",
    "snapshot": "the snapshot against `copy index, git add -A, git write-tree`",
    "capture": "what the child, the environment and the machine cost to capture",
    "store": "the store against zstd, restic, dvc and borg: CPU, wall, bytes, memory",
    "metrics": "one `gitrun.log` against a bare write, JSON lines, sqlite and other trackers; kills; sealing",
    "find": "lists of ten thousand runs: a filter and an order, the index from nothing, one run more",
    "replay": "comparing the outputs of two runs, and having an environment again",
    "remote-blobs": "blobs through Git against git's defaults, to a directory against cp, and the memory it takes",
    "checkout": "the checkout against `git worktree add --detach`",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("usage: scripts/bench NAME [--help]\n")
        for name, words in NAMES.items():
            print(f"  {name:<12} {words}")
        return 0 if sys.argv[1:] in ([], ["--help"]) else 2
    sys.path.insert(0, str(Path(__file__).parent))
    name = sys.argv.pop(1)
    module = importlib.import_module(name.replace("-", "_"))
    module.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
