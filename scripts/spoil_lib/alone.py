"""Cases that need a run of their own: inputs, what lies outside the tree, old outputs, surroundings, a beginning.

Each makes a small world, records one run in it, spoils something and replays. What is expected stands in the same
words as that of all other cases.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scripts.spoil_lib.case import BIT, DIFFERS, UNVERIFIABLE, Case, case
from scripts.spoil_lib.world import World
from tests.package_index import Installation, make_wheel

Judged = tuple[int, dict[str, Any]]
PYTHON = sys.executable


class Alone(NamedTuple):
    """A case, and what is done for it in a directory of its own."""

    case: Case
    judge: Callable[[Path], Judged]


def alone(
    group: str, name: str, verdict: str, cause: str | None = None, *, exit: int | None = None, told: str = ""
) -> Callable[[Callable[[Path], Judged]], Alone]:
    """Make a case of the function that judges it."""
    return lambda judge: Alone(case(group, name, verdict, cause, exit=exit, told=told), judge)


READS = """
import random, sys
random.seed(0)
data = open(sys.argv[1], "rb").read()
open("out.txt", "w").write(f"{len(data)} {sum(data)}\\n")
"""


def _reading(spoil: Callable[[Path], object], inside: bool = False) -> Callable[[Path], Judged]:
    """A run that reads a file, which is spoiled before the replay."""

    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": READS, ".gitignore": "data.bin\n"})
        data = (world.repo if inside else root) / "data.bin"
        data.write_bytes(bytes(range(256)) * 9)
        run = world.record(PYTHON, "train.py", "data.bin" if inside else str(data))
        spoil(data)
        return world.replay(run)

    return judge


def _made_before(spoil: Callable[[Path], object]) -> Callable[[Path], Judged]:
    """A run that reads what an earlier one has made."""

    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": READS, ".gitignore": "data.bin\n"})
        world.record("sh", "-c", "echo 1 2 3 > data.bin")
        run = world.record(PYTHON, "train.py", "data.bin")
        spoil(world.repo / "data.bin")
        return world.replay(run)

    return judge


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _cut(path: Path) -> None:
    os.truncate(path, 100)


INPUTS = [
    alone("inputs", "one bit outside of the tree", UNVERIFIABLE, "its content has changed since the run")(
        _reading(_flip)
    ),
    alone("inputs", "it is missing", UNVERIFIABLE, "No such file or directory")(_reading(Path.unlink)),
    alone("inputs", "it is cut off", UNVERIFIABLE, "its content has changed since the run")(_reading(_cut)),
    alone("inputs", "it became a directory", UNVERIFIABLE, "Is a directory")(_reading(_directory)),
    alone("inputs", "one bit of an ignored file", UNVERIFIABLE, "its content has changed")(
        _reading(_flip, inside=True)
    ),
    alone("inputs", "an ignored file is missing", UNVERIFIABLE, "No such file")(_reading(Path.unlink, inside=True)),
    alone("inputs", "one bit of an output of an earlier run, which was kept: the replay has the recorded one", BIT)(
        _made_before(_flip)
    ),
    alone("inputs", "an output of an earlier run is missing, which was kept: the replay has it", BIT)(
        _made_before(Path.unlink)
    ),
    alone("inputs", "it was written again with the same bytes", BIT)(
        _reading(lambda path: path.write_bytes(bytes(range(256)) * 9))
    ),
]

WRITES = """
import os, random, sys
import gitrun
random.seed(0)
how = os.popen('cat "$HOW"').read().split()  # by a program that is not observed
os.makedirs("out", exist_ok=True)
open("out/same.txt", "w").write("same")
path = os.path.join(sys.argv[1], "far.txt")
if "missing" in how:
    pass
elif "shell" in sys.argv:
    os.system(f"echo {'other' if 'other' in how else 'as it was'} > {path}")
else:
    open(path, "w").write("other" if "other" in how else "as it was")
if "log" in sys.argv:
    gitrun.log_artifact(path)
"""


def _writing(how: str, place: str, *words: str, **environ: str) -> Callable[[Path], Judged]:
    """A run that writes a file to some place, and is told otherwise before the replay."""

    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": WRITES, "inner/keep": ""}, HOW=str(root / "how"))
        (root / "how").write_text("")
        (root / "far").mkdir()
        (world.repo / "behind").symlink_to(root / "far")
        (world.repo / "beside").symlink_to("inner")
        run = world.record(PYTHON, "train.py", str(root / "far") if place == "far" else place, *words, **environ)
        (root / "how").write_text(how)
        return world.replay(run)

    return judge


_LAY_THERE = "the replay handed it over, and has not written it"
OUTPUTS = [
    alone("places", "outside the tree, handed over, the same", BIT)(_writing("", "far", "log")),
    alone("places", "outside the tree, handed over, another content", DIFFERS)(_writing("other", "far", "log")),
    alone("places", "outside the tree, handed over, not written: the old one lies there", DIFFERS,
          "state outside the tree: only the replay read")(_writing("missing", "far", "log")),
    alone("places", "outside the tree, by a shell, handed over, not written: the old one lies there", UNVERIFIABLE,
          _LAY_THERE)(_writing("missing", "far", "log", "shell")),
    alone("places", "outside the tree, by a shell, handed over, another content", DIFFERS)(
          _writing("other", "far", "log", "shell")),
    alone("places", "outside the tree, not handed over, another content", DIFFERS)(_writing("other", "far")),
    alone("places", "behind a link to a directory outside, another content", DIFFERS)(_writing("other", "behind")),
    alone("places", "behind a link to a directory outside, by a shell, another content", UNVERIFIABLE, "behind/")(
          _writing("other", "behind", "shell")),
    alone("places", "behind a link to a directory of the tree, another content", DIFFERS)(_writing("other", "beside")),
    alone("places", "behind a link to a directory of the tree, the same", BIT)(_writing("", "beside")),
    alone("places", "in the tree, not written: the old one lies in the worktree", DIFFERS)(_writing("missing", "out")),
    alone("places", "not kept by the store, another content", DIFFERS)(
          _writing("other", "out", GITRUN_RECORD_OUTPUT_BYTES="0")),
    alone("places", "not kept by the store, the same", BIT)(_writing("", "out", GITRUN_RECORD_OUTPUT_BYTES="0")),
]  # fmt: skip

COUNTS = 'echo x >> count.txt; wc -l < count.txt > lines.txt; "$PYTHON" -c "import random; random.seed(0)"\n'
SETS = """
import random
random.seed(0)
open("out.txt", "w").write(" ".join({"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}))
"""
UNSEEDED = """
import gitrun, random
for step in range(3):
    gitrun.log({"loss": random.random()}, step=step)
"""
SURROUNDED = """
import locale, os, random, sys, time
random.seed(0)
names = ("TZ", "LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "PYTHONHASHSEED")
words = [f"{name}={os.environ.get(name)}" for name in names]
open("out.txt", "w").write("\\n".join([*words, time.strftime("%H", time.gmtime(0)), str(hash("a")), *sys.argv]))
os.close(os.open("mode", os.O_CREAT | os.O_WRONLY, 0o666))
"""


def _leftover(root: Path) -> Judged:
    world = World(root, {"count.sh": COUNTS}, PYTHON=PYTHON)
    world.record("sh", "count.sh")
    return world.replay(world.record("sh", "count.sh"))


def _hashes(root: Path) -> Judged:
    world = World(root, {"train.py": SETS}, PYTHONHASHSEED="")
    run = world.record(PYTHON, "train.py")
    found = world.replay(run)
    return found if found[1]["verdict"] != BIT else world.replay(run)  # the same order twice: once in 40,320 times


def _unseeded(root: Path) -> Judged:
    world = World(root, {"train.py": UNSEEDED})
    return world.replay(world.record(PYTHON, "train.py"))


def _under(umask: int = 0o022, **environ: str) -> Callable[[Path], Judged]:
    """A replay that is started in other surroundings, and gives the program the recorded ones."""

    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": SURROUNDED})
        run = world.record(PYTHON, "train.py")
        before = os.umask(umask)
        try:
            return world.replay(run, **environ)
        finally:
            os.umask(before)

    return judge


SURROUNDINGS = [
    alone(
        "surroundings", "an old output that the run added to", DIFFERS, "outputs of earlier runs lay in the run's tree"
    )(_leftover),
    alone("surroundings", "PYTHONHASHSEED was not set", DIFFERS, "the same words in another order in out.txt")(_hashes),
    alone("surroundings", "random numbers without a seed", DIFFERS, "no seed was set")(_unseeded),
    alone("surroundings", "another time zone: the replay has the recorded one", BIT)(_under(TZ="Asia/Tokyo")),
    alone("surroundings", "another locale: the replay has the recorded one", BIT)(_under(LC_ALL="C")),
    alone("surroundings", "another umask: the replay has the recorded one", BIT)(_under(0o077)),
    alone("surroundings", "a number of threads was set: the replay has none", BIT)(_under(OMP_NUM_THREADS="1")),
    alone("surroundings", "an ISA variable was set: the replay has none", BIT)(_under(OPENBLAS_CORETYPE="Haswell")),
    alone("surroundings", "another hash seed: the replay has the recorded one", BIT)(_under(PYTHONHASHSEED="7")),
]

STEPS = """
import gitrun, os, random, time
random.seed(1)
how = os.popen('cat "$HOW"').read().split()
for step in range(60):
    if str(step) in how:
        random.seed()
    gitrun.log({"loss": random.random()}, step=step)
    time.sleep(0.05 if "slow" in how else 0)
"""


def _beginning(how: str, *options: str) -> Callable[[Path], Judged]:
    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": STEPS}, HOW=str(root / "how"))
        (root / "how").write_text("")
        run = world.record(PYTHON, "train.py")
        (root / "how").write_text(how)
        return world.replay(run, *options)

    return judge


def _wrong_claims(root: Path) -> Judged:
    world = World(root, {"train.py": UNSEEDED})
    return world.replay(world.record(PYTHON, "train.py", options=("--claim", "loss <= 1.5")))


PACKAGE = "import alpha, random\nrandom.seed(0)\nopen('out.txt', 'w').write(alpha.version)\n"


def _package(*options: str, env: str = "current", file: str | None = None) -> Callable[[Path], Judged]:
    """A run that imports a package, of which another version, or other files, are installed before the replay."""

    def judge(root: Path) -> Judged:
        world = World(root, {"train.py": PACKAGE, ".gitignore": ".venv\n"})
        there = Installation(world.repo / ".venv")
        there.install(make_wheel("alpha", "1.0"))
        run = world.record(".venv/bin/python", "train.py")
        if file is None:
            shutil.rmtree(world.repo / ".venv")
            Installation(world.repo / ".venv").install(make_wheel("alpha", "1.1"))
        else:
            (module,) = (world.repo / ".venv").glob("lib/*/site-packages/alpha/__init__.py")
            module.write_text(file)
        return world.replay(run, *options, env=env)

    return judge


PACKAGES = [
    alone("packages", "a wheel one version off, and no lock", UNVERIFIABLE, "environment: ")(_package(env="recorded")),
    alone("packages", "a wheel one version off, and --env current", DIFFERS, "other packages: alpha 1.0, now 1.1")(
        _package()
    ),
    alone("packages", "a wheel one version off, and --allow current", DIFFERS, "other packages: alpha 1.0, now 1.1")(
        _package("--allow", "current", env="recorded")
    ),
    alone("packages", "an installed file was edited", DIFFERS, "installed files were edited")(
        _package(file="version = '1.0+edited'\n")
    ),
]

BEGINNINGS = [
    alone("beginnings", "--until step=10, the same", BIT, "the replay was stopped on purpose")(
        _beginning("slow", "--until", "step=10")
    ),
    alone("beginnings", "--until step=30, and it diverges at step 5", DIFFERS, told="step 5")(
        _beginning("slow 5", "--until", "step=30")
    ),
    alone("beginnings", "it diverges at step 40, of all", DIFFERS, told="at step 40")(_beginning("40")),
    alone("beginnings", "claims that held, though no value is the same", DIFFERS, "no seed was set", exit=0)(
        _wrong_claims
    ),
]

CASES = [*INPUTS, *OUTPUTS, *SURROUNDINGS, *PACKAGES, *BEGINNINGS]
