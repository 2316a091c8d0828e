"""The group a run belongs to when nobody names one: the job array, sweep or multirun that started it.

A hundred runs of one array are one experiment, and whoever starts them this way has already said so. A job array and
a W&B sweep say it in a variable; Hydra says it in the directory it gives each job, `multirun/<date>/<time>/<number>`,
and of a sweep that stays in one process, in the configuration that the program reports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gitrun.capture.facts import place, read_start, text_path

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed

GROUP_VARIABLES = ("SLURM_ARRAY_JOB_ID", "WANDB_SWEEP_ID")  # the first that is set counts
_LEVELS = 3  # `hydra.sweep.subdir` may have more than one component


def default_group(environ: Mapping[str, str], cwd: bytes, worktree: bytes | None) -> str | None:
    """The group of a command that starts now in `cwd`; None for a run on its own."""
    for name in GROUP_VARIABLES:
        if environ.get(name):
            return environ[name]
    sweep = _sweep_directory(cwd)
    return None if sweep is None else place(sweep, worktree)


def observed_group(observed: Observed, worktree: bytes | None) -> str | None:
    """The directory of the sweep that a program with Hydra reported; None for a run without one."""
    for process in observed.processes:
        cwd = process.start.get("cwd") or b"/"
        for config in process.configs:
            if sweep := config.get("sweep"):
                return place(os.path.join(cwd, sweep), worktree)
    return None


def _sweep_directory(cwd: bytes) -> bytes | None:
    """The directory of the multirun whose job runs in `cwd`, by the files that Hydra leaves there."""
    settings = os.path.join(cwd, b".hydra", b"hydra.yaml")
    if not os.path.exists(settings):
        return None
    above = cwd
    for _ in range(_LEVELS):
        above = os.path.dirname(above)
        if os.path.exists(os.path.join(above, b"multirun.yaml")):
            return above
    # sweepers other than Hydra's own write no such file
    multirun = b"\n  mode: MULTIRUN" in (read_start(settings) or b"")
    return os.path.dirname(cwd) if multirun and text_path(cwd) != "/" else None
