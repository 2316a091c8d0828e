"""Real trainings, each repeated in an environment that is built again, and each spoiled.

They run in an environment of their own with numpy, scikit-learn and hydra-core, and torch where it is installed: by
its own lock, made when the run is recorded. A program asks a file that no record holds how it shall be spoiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.spoil_lib.case import BIT, DIFFERS, SEMANTIC, TOLERANCE, Case, case
from scripts.spoil_lib.world import World

# What all of them begin with: `how` is asked by a program that is not observed, before numpy is loaded.
_HOW = """
import os, random, sys
how = os.popen('cat "$HOW"').read().split()
os.environ.update(word.split("=", 1) for word in how if "=" in word)
"""
NUMPY = (
    _HOW
    + """
import numpy as np
rng = np.random.default_rng(None if "unseeded" in how else 0)
x, w = rng.normal(size=(700, 300)), rng.normal(size=(300, 300)) / 30
losses = []
for step in range(20):
    y = np.tanh(x @ w)
    w -= 0.05 * (x.T @ ((y - 0.3) * (1 - y * y))) / len(x)
    losses.append(float(((y - 0.3) ** 2).mean()))
np.savez("weights.npz", w=w)
open("metrics.csv", "w").write("step,loss\\n" + "".join(f"{n},{loss!r}\\n" for n, loss in enumerate(losses)))
"""
)
SKLEARN = (
    _HOW
    + """
import json
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
x, y = load_digits(return_X_y=True)
if "label" in how:
    y[1000] = (y[1000] + 1) % 10
model = RandomForestClassifier(20, random_state=None if "unseeded" in how else 1).fit(x[:1200], y[:1200])
np.save("proba.npy", model.predict_proba(x[1200:]))
json.dump({"accuracy": model.score(x[1200:], y[1200:]), "trees": 20}, open("score.json", "w"))
"""
)
HYDRA = (
    _HOW
    + """
import hydra, numpy as np
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    rng = np.random.default_rng(None if "unseeded" in how else config.seed)
    place = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    np.save(os.path.join(place, "weights.npy"), rng.normal(size=100) * config.lr)
    if "extra" in how:
        open(os.path.join(place, "extra.txt"), "w").write("more")
main()
"""
)
TORCH = (
    _HOW
    + """
import torch
if "unseeded" not in how:
    torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(300, 300), torch.nn.Tanh(), torch.nn.Linear(300, 1))
optimizer = torch.optim.AdamW(model.parameters(), 0.01)
x = torch.randn(700, 300)
for step in range(20):
    optimizer.zero_grad()
    loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "best.pt" if "stem" not in how else "last.pt")
if "stem" in how:
    os.rename("last.pt", "best.pt")
"""
)


class Training(NamedTuple):
    """A program, and the files and words it needs."""

    program: str
    files: Mapping[str, str] = {}
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    module: str = "numpy"


TRAININGS = {
    "numpy": Training(NUMPY, options=("--metrics", "metrics.csv")),
    "scikit-learn": Training(SKLEARN, module="sklearn"),
    "Hydra": Training(HYDRA, {"conf/config.yaml": "seed: 3\nlr: 0.1\n"}, ("lr=0.2",), module="hydra"),
    "torch": Training(TORCH, module="torch"),
}
_THREADS, _ISA = "another number of threads", "OPENBLAS_CORETYPE=Prescott"
_SEED = "other seeds: numpy.random.default_rng got 0, now none"
_OLD_NAMES = "names that vary from run to run"
# What spoils each: how the program shall behave, and the case.
SPOILED: dict[str, list[tuple[str, Case]]] = {
    "numpy": [
        ("", case("numpy", "nothing is spoiled, in an environment built again", BIT)),
        ("unseeded", case("numpy", "its generator has no seed", DIFFERS, _SEED)),
        ("OPENBLAS_NUM_THREADS=1", case("numpy", "another number of threads", TOLERANCE, _THREADS)),
        (_ISA, case("numpy", "other BLAS kernels, by an ISA variable", TOLERANCE, "openblas kernels for")),
    ],
    "scikit-learn": [
        ("", case("scikit-learn", "nothing is spoiled, in an environment built again", BIT)),
        ("unseeded", case("scikit-learn", "the forest has no seed", DIFFERS, "no seed was set")),
        ("label", case("scikit-learn", "one label of the data", DIFFERS, "no seed was set")),
    ],
    "Hydra": [
        ("", case("Hydra", "nothing is spoiled but the time, in an environment built again", SEMANTIC, _OLD_NAMES)),
        (
            "unseeded",
            case(
                "Hydra", "its generator has no seed", DIFFERS, "other seeds: numpy.random.default_rng got 3, now none"
            ),
        ),
        ("extra", case("Hydra", "an extra file in its directory", DIFFERS)),
    ],
    "torch": [
        ("", case("torch", "nothing is spoiled, in an environment built again", BIT)),
        ("unseeded", case("torch", "it has no seed", DIFFERS, "other seeds: torch got 0, now")),
        ("OMP_NUM_THREADS=1", case("torch", "another number of threads, beyond the tolerance", DIFFERS, _THREADS)),
        ("stem", case("torch", "saved under another name and renamed", SEMANTIC)),
    ],
}
CASES = [found for some in SPOILED.values() for _, found in some]


def has(python: str, module: str) -> bool:
    """Whether an environment has a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def judged(python: str, root: Path) -> Iterator[tuple[Case, Callable[[], tuple[int, dict[str, Any]]]]]:
    """Every case of a training that this environment can run, each with what judges it."""
    for name, training in TRAININGS.items():
        if not has(python, training.module):
            continue
        # What is known of indexes and what is cached stays known.
        kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_"))}
        cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
        kept.setdefault("UV_CACHE_DIR", os.path.join(cache, "uv"))
        files = {"train.py": training.program, **training.files, ".gitignore": ".venv\n"}
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        how = root / name / "how"
        world = World(root / name, files, **{**kept, "GITRUN_LOCK_RESOLVER": "auto", "HOW": str(how), "PATH": path})
        how.write_text("")
        run = world.record(python, "train.py", *training.words, options=training.options)

        def judge(words: str, world: World = world, how: Path = how, run: str = run) -> tuple[int, dict[str, Any]]:
            how.write_text(words)
            return world.replay(run, env="recorded")

        for words, expected in SPOILED[name]:
            yield expected, lambda words=words, judge=judge: judge(words)  # type: ignore[misc]
