"""Directories that an experiment tracker wrote are not source; their own markers say so, never a name alone.

Two runs without an edit between them have to have the same source tree, and a tracker leaves a new
directory behind with each. A directory called `wandb` or `outputs` may be somebody's package, so
only what the tracker itself puts inside decides. And where code lies right beside a marker, the
marker is left out and the code is kept.
"""

from __future__ import annotations

import os
import re

_RUN_OF_WANDB = re.compile(rb"(offline-)?run-\d{8}_\d{6}-\w+\Z")
_VERSION = re.compile(rb"version_\d+\Z")
EVENTS = b"events.out.tfevents"
_CODE = (
    b".py", b".pyx", b".ipynb", b".sh", b".r", b".R", b".jl", b".m", b".lua", b".pl", b".rb", b".js", b".ts", b".go",
    b".rs", b".c", b".cc", b".cpp", b".cu", b".h", b".hpp", b".java", b".scala", b".f90", b".toml", b".smk", b".nf",
)  # fmt: skip
_CODE_NAMES = {b"Makefile", b"Dockerfile", b"Snakefile", b"CMakeLists.txt"}


def tracker_marks(directory: bytes, names: set[bytes], top: bytes) -> set[bytes] | None:
    """The entries of an untracked directory that a tracker wrote; None when all of it is a tracker's.

    `directory` is relative to `top` and ends in a slash; `names` are its entries.
    """
    marks = _marks(directory, names, top)
    if not marks:
        return set()
    return marks if any(name.endswith(_CODE) or name in _CODE_NAMES for name in names) else None


def _marks(directory: bytes, names: set[bytes], top: bytes) -> set[bytes]:
    name = directory[directory.rfind(b"/", 0, -1) + 1 : -1]
    if name == b"wandb":
        return {entry for entry in names if _RUN_OF_WANDB.match(entry)}
    if _RUN_OF_WANDB.match(name) and directory[: -len(name) - 1].endswith(b"wandb/"):
        return set(names)
    if name == b"mlruns":
        return {entry for entry in names if os.path.isfile(top + directory + entry + b"/meta.yaml")}
    if name == b"lightning_logs":
        return {entry for entry in names if _VERSION.match(entry)}
    if name == b".hydra":
        return set(names) if b"config.yaml" in names else set()
    marks = {entry for entry in names if entry.startswith(EVENTS)}
    if b".hydra" in names and os.path.isfile(top + directory + b".hydra/config.yaml"):
        marks.add(b".hydra")
    return marks
