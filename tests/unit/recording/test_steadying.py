"""The variables of `record --deterministic`, `--portable` and `--seed`, and what the command's Python makes of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.recording.steadying import Steady
from tests.conftest import Result

Call = Callable[..., Result]


def variables(steady: Steady, **environ: str) -> dict[str, str]:
    return steady.variables({"PATH": "/nowhere", **environ}, [b"prog"], "/")


def test_each_option_sets_its_variables_and_no_other() -> None:
    assert variables(Steady()) == {"PATH": "/nowhere"}
    assert variables(Steady(seed=(1 << 32) + 5)) == {
        "PATH": "/nowhere", "PYTHONHASHSEED": "5", "GITRUN_SEED": str((1 << 32) + 5),
    }  # fmt: skip
    found = variables(Steady(deterministic=True))
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8" and found["PYTHONHASHSEED"] == "0"
    assert variables(Steady(deterministic=True, seed=3))["PYTHONHASHSEED"] == "3"
    portable = variables(Steady(portable=True))
    assert portable["OMP_NUM_THREADS"] == "1" and "NPY_DISABLE_CPU_FEATURES" not in portable
    if os.uname().machine == "x86_64":
        assert portable["MKL_CBWR"] == "COMPATIBLE"


def test_what_the_user_has_set_stays_but_an_outer_seed_is_not_this_ones() -> None:
    assert variables(Steady(portable=True), OMP_NUM_THREADS="4")["OMP_NUM_THREADS"] == "4"
    assert variables(Steady(seed=1), GITRUN_SEED="9", PYTHONHASHSEED="0") == {
        "PATH": "/nowhere", "GITRUN_SEED": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    assert variables(Steady(), GITRUN_SEED="9")["GITRUN_SEED"] == "9"


def test_numpy_is_asked_which_features_it_chooses_among() -> None:
    pytest.importorskip("numpy")
    found = Steady(portable=True).variables(os.environ, [os.fsencode(sys.executable)], "/")
    names = found["NPY_DISABLE_CPU_FEATURES"].split()
    assert names and all(name.replace("_", "").isalnum() for name in names)
    own = Steady(portable=True).variables({"NPY_DISABLE_CPU_FEATURES": ""}, [os.fsencode(sys.executable)], "/")
    assert own["NPY_DISABLE_CPU_FEATURES"] == ""


def test_a_seeded_run_and_its_replay_draw_the_same_numbers(make_repo: Callable[..., Path], gitrun: Call) -> None:
    torch = "import sys\ndef manual_seed(n): print('torch', n)\ndef initial_seed(): return 7\n"
    fake = "class _C: deterministic = False; benchmark = True\nclass backends: cudnn = _C\n"
    deterministic = "def use_deterministic_algorithms(on, warn_only): print('deterministic', on, warn_only)\n"
    program = "import random, torch\nopen('out', 'w').write(repr((random.random(), hash('a'))))\nrandom.seed(1)\n"
    repo = make_repo({"torch.py": torch + fake + deterministic, "t.py": program})
    options = ("--seed", "7", "--deterministic")
    done = gitrun("record", *options, "--", sys.executable, "t.py", cwd=repo)
    assert done.stdout == "torch 7\ndeterministic True True\n", done.stderr
    shown = gitrun("show", "@", "--json", cwd=repo).json()
    assert shown["seeds"]["random.seed"] == {"calls": 2, "unseeded": 0, "last": 1}
    replayed = gitrun("replay", "@", "--env", "current", "--json", cwd=repo, env={"GITRUN_SEED": "8"})
    assert (replayed.code, replayed.json()["verdict"]) == (0, "bit"), replayed.stderr


@pytest.mark.parametrize("text", ["x", "-1", "1.5", str(1 << 63), "²"])
def test_what_is_no_seed_is_refused(make_repo: Callable[..., Path], gitrun: Call, text: str) -> None:
    done = gitrun("record", f"--seed={text}", "--", "true", cwd=make_repo())
    assert done.code == 125
    assert "--seed" in done.stderr
