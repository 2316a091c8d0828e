"""Who parses: the user's program, a launcher around it, or a framework on its own behalf.

`torchrun train.py --lr 0.1` parses two command lines with the same class, and so do `coverage run` and `pytest`; Hydra
parses its own options with argparse. The stack tells them apart: the first caller outside the framework, and whether
somebody else further up is parsing already.
"""

from __future__ import annotations

import sys
from typing import Any

from gitrun.child.frameworks import splice

PROGRAM, GIVEN, LAUNCHER = "program", "given", "launcher"
_FRAMEWORKS = ("argparse", "hydra", "absl", "jsonargparse", "click", "typer", "fire")
_PASSES_ON = {"argparse": "absl", "click": "typer"}  # absl's argparse_flags and a typer without a click of its own
# Modules that start programs of somebody else; what they parse is about the start.
_LAUNCHERS = (
    "torch.distributed.run", "torch.distributed.launch", "torch.distributed.elastic", "torch.utils.bottleneck",
    "accelerate.commands", "deepspeed.launcher", "lightning.fabric.cli", "lightning_fabric.cli", "horovod.runner",
    "colossalai.cli", "mpi4py", "ray.scripts", "ray.dashboard", "submitit", "sky", "dask", "distributed", "joblib",
    "pdb", "trace", "timeit", "cProfile", "profile", "tracemalloc", "unittest", "runpy", "doctest", "zipapp", "venv",
    "kernprof", "line_profiler", "memory_profiler", "mprof", "scalene", "viztracer", "memray", "pyinstrument", "pyperf",
    "coverage", "debugpy", "pydevd", "pytest", "_pytest", "pluggy", "xdist", "tox", "nox", "IPython", "ipykernel",
    "ipykernel_launcher", "traitlets", "jupyter", "jupyter_core", "jupyter_client", "nbconvert", "papermill",
    "notebook", "wandb", "mlflow", "dvc", "snakemake", "luigi", "prefect", "pip", "setuptools", "distutils",
    "numpy.f2py", "uv", "poetry", "pipx", "virtualenv", "torch.utils.cpp_extension", "torch._inductor",
    "multiprocessing", "gitrun",
)  # fmt: skip
_INSTALLED = ("/site-packages/", "/dist-packages/")
_MOST_FRAMES = 2000


class Caller:
    """Who called the framework: the module's name, whether it is a library's, and the program that uses the library."""

    def __init__(self, name: str, installed: bool, program: str) -> None:
        self.name, self.installed, self.program = name, installed, program


def find_caller() -> Caller | None:
    """The first caller outside the framework that is telling; None where it works for another framework."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith("<gitrun"):
        frame = frame.f_back
    if frame is None:
        return None
    parses, roots, found, program = frame.f_code in splice.parsing, [_root(frame)], None, ""
    for _ in range(_MOST_FRAMES):
        frame = frame.f_back
        if frame is None:
            break
        if parses and frame.f_code in splice.parsing:
            return None  # a parser below a parser
        if found is None and _root(frame) not in roots:
            if _PASSES_ON.get(roots[0]) == _root(frame):
                roots.append(_root(frame))
            else:
                found = frame
        if found is not None and not program and not _is_installed(frame):
            program = _name(frame)
    name = _name(found) if found is not None else roots[0]
    if name.partition(".")[0] in _FRAMEWORKS:
        return None
    return Caller(name, found is None or _is_installed(found), program or name)


def role_of(caller: Caller, words: Any) -> str | None:
    """What the parsed words are to the run; None where nobody needs to know."""
    if any(caller.name == name or caller.name.startswith(name + ".") for name in _LAUNCHERS):
        return LAUNCHER
    if words is None or _are_the_command(words):
        return PROGRAM
    return None if caller.installed else GIVEN


def _are_the_command(words: Any) -> bool:
    """Whether words that were handed to a parser come from the command line."""
    if not isinstance(words, (list, tuple)):
        return True  # an iterator that is used up by now
    known = {word for word in sys.argv if isinstance(word, str)}
    return all(isinstance(word, str) and word in known for word in words) if words else len(sys.argv) <= 1


def _root(frame: Any) -> str:
    return _name(frame).partition(".")[0]


def _name(frame: Any) -> str:
    """The name of a frame's module; of the one that was started with -m, its own."""
    space = frame.f_globals
    name = space.get("__name__")
    if name == "__main__":
        name = getattr(space.get("__spec__"), "name", None) or name
    return name if type(name) is str else ""


def _is_installed(frame: Any) -> bool:
    """Whether a frame's file is a library's, also of the standard one."""
    path = frame.f_code.co_filename
    home = (getattr(sys.modules.get("os"), "__file__", None) or "").rpartition("/")[0]
    return (
        path.startswith("<frozen")
        or any(part in path for part in _INSTALLED)
        or (home != "" and path.startswith(home + "/"))
    )
