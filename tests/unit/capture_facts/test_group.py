"""The group of a run that was given none."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitrun.child
from gitrun.capture.group import default_group, observed_group
from gitrun.capture.observed import Observed, Process, read_observed
from tests.conftest import write_files

SITE = Path(gitrun.child.__file__).with_name("site")
MULTIRUN = "hydra:\n  run:\n    dir: outputs\n  mode: MULTIRUN\n  searchpath: []\n"


@pytest.mark.parametrize(
    ("environ", "group"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, None),
        ({"SLURM_ARRAY_JOB_ID": "4242", "SLURM_JOB_ID": "4243", "WANDB_SWEEP_ID": "abc"}, "4242"),
        ({"WANDB_SWEEP_ID": "abc", "SLURM_ARRAY_JOB_ID": ""}, "abc"),
    ],
)
def test_variables(tmp_path: Path, environ: dict[str, str], group: str | None) -> None:
    assert default_group(environ, os.fsencode(tmp_path), None) == group


def test_the_directory_of_a_hydra_job(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "multirun/2026-11-24/06-12-46/multirun.yaml": "hydra:\n",
            "multirun/2026-11-24/06-12-46/0/.hydra/hydra.yaml": MULTIRUN,
            "multirun/2026-11-24/06-12-46/lr=1/seed=2/.hydra/hydra.yaml": MULTIRUN,
            "other/sweep/3/.hydra/hydra.yaml": MULTIRUN,
            "outputs/2026-11-24/06-12-46/.hydra/hydra.yaml": MULTIRUN.replace("MULTIRUN", "RUN"),
        },
    )
    top = os.fsencode(tmp_path)
    sweep = "multirun/2026-11-24/06-12-46"
    for job, group in (
        (f"{sweep}/0", sweep),
        (f"{sweep}/lr=1/seed=2", sweep),
        ("other/sweep/3", "other/sweep"),
        ("outputs/2026-11-24/06-12-46", None),
        (sweep, None),
        (".", None),
    ):
        assert default_group({}, os.path.join(top, job.encode()), top) == group, job


def process(*configs: dict[str, Any]) -> Process:
    nothing = Process._make([None] * len(Process._fields))
    return nothing._replace(start={"cwd": b"/w/sub"}, configs=list(configs))


@pytest.mark.parametrize(
    ("sweep", "group"), [(b"multirun/x", "sub/multirun/x"), (b"/elsewhere/x", "/elsewhere/x"), (None, None)]
)
def test_a_sweep_in_one_process(sweep: bytes | None, group: str | None) -> None:
    told = {"framework": "hydra", **({"sweep": sweep} if sweep else {})}
    observed = Observed([process({"framework": "argparse"}), process(told)], [])
    assert observed_group(observed, b"/w") == group
    assert observed_group(Observed([], []), b"/w") is None


APP = """
import hydra
@hydra.main(version_base=None, config_path=None)
def main(cfg):
    pass
main()
"""


@pytest.mark.parametrize(
    ("words", "group"), [(["-m", "+lr=1,2"], "multirun/"), (["-m", "hydra.sweep.dir=all", "+lr=1"], "all"), ([], None)]
)
def test_hydra_itself(tmp_path: Path, words: list[str], group: str | None) -> None:
    """The program is observed as a recorded one is, and names the directory that Hydra really made."""
    if importlib.util.find_spec("hydra") is None:
        pytest.skip("hydra is not installed")
    write_files(tmp_path, {"app.py": APP})
    member = tmp_path / "live/members/0"
    member.mkdir(parents=True)
    environ = {**os.environ, "PYTHONPATH": str(SITE), "GITRUN_RUN_DIR": str(tmp_path / "live")}
    done = subprocess.run([sys.executable, "app.py", *words], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = observed_group(read_observed(str(member)), os.fsencode(tmp_path))
    if group is None:
        assert found is None
        return
    assert found is not None and found.startswith(group)
    assert (tmp_path / found / "multirun.yaml").exists()
