"""Judging cases by real replays of one recorded run, whose program is steered by what no record holds.

The program copies a tree, logs points and ends as a directory says that only an inherited variable names. So one run
can be repeated in as many ways as there are cases, and what is recorded of it is always the same.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitrun.model.canonical import path_bytes
from scripts.spoil_lib.case import Case, File
from scripts.spoil_lib.world import World

# Read through redirections of the shell, so that nothing of it is an input that Python has opened.
PROGRAM = """
cp -dR --preserve=mode "$SPOIL/tree/." .
"$PYTHON" points.py < "$SPOIL/points.json" || exit 9
. "$SPOIL/end.sh"
"""
POINTS = """
import json, random, struct, sys
import gitrun
random.seed(0)
for name, step, bits in json.load(sys.stdin):
    gitrun.log({name: struct.unpack("<d", bytes.fromhex(bits))[0]}, step=step)
"""


class Steered:
    """One run that has left all of what these cases say, in a world of its own in `root`."""

    def __init__(self, root: Path, cases: Iterable[Case]) -> None:
        self._cases = [case for case in cases if case.has_process]
        self._spoils = 0
        self._world = World(root, {"program.sh": PROGRAM, "points.py": POINTS}, PYTHON=sys.executable)
        self._run = self._world.record("sh", "program.sh", SPOIL=str(self._spoil(None)))

    def judge(self, case: Case) -> tuple[int, dict[str, Any]]:
        """The exit status and the verdict on a case."""
        spoil = self._spoil(case)
        try:
            return self._world.replay(self._run, *case.options, SPOIL=str(spoil))
        finally:
            shutil.rmtree(spoil)

    def _spoil(self, spoiled: Case | None) -> Path:
        """A directory that steers the program: everything as it was, but for one case."""
        self._spoils += 1
        place = self._world.root / f"spoil{self._spoils}"
        (place / "tree").mkdir(parents=True, mode=0o755)
        points = []
        for case in self._cases:
            is_it = case is spoiled
            for path, node in (case.now if is_it else case.was).items():
                target = os.path.join(os.fsencode(place / "tree" / "out" / case.slug), path_bytes(path))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if isinstance(node, bytes):
                    node = File(node)
                if isinstance(node, File):
                    with open(target, "wb") as file:
                        file.write(node.data)
                    os.chmod(target, node.mode)
                else:
                    os.symlink(os.fsencode(node.target), target)
            for point in case.now_points if is_it else case.points:
                points.append([f"{case.slug}/{point.name}", point.step, point.bits.hex()])
        (place / "points.json").write_text(json.dumps(points))
        (place / "end.sh").write_text((spoiled.now_end if spoiled else "") + "\n")
        return place
