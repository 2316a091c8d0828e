"""Seeds and settings that `gitrun record --seed N --deterministic` asks for, once a library of the program is imported.

A program that seeds by itself does so later, and its own seed counts. What is set is told like everything else that
the program sets: `random.seed` is noted by `seeds`, torch is asked at the end.
"""

from __future__ import annotations

import os
from typing import Any

HOOKS = dict.fromkeys(("torch", "tensorflow", "cupy"), "steady")
_32_BITS = (1 << 32) - 1


def seed() -> int | None:
    """The seed that the run was started with; None without one, or where it is none."""
    text = os.environ.get("GITRUN_SEED", "")
    return int(text) if text.isdecimal() and int(text) < 1 << 63 else None


def wanted() -> bool:
    """Whether anything is to be set."""
    return seed() is not None or is_deterministic()


def is_deterministic() -> bool:
    """Whether libraries are to use deterministic algorithms."""
    return os.environ.get("GITRUN_DETERMINISTIC") == "1"


def install(module: Any, child: Any) -> None:
    """Seeds a module that was just imported, and has it compute the same each time."""
    name, number = module.__name__, seed()
    if number is not None:
        if name == "random":
            module.seed(number)
        elif name == "numpy.random":
            module.seed(number & _32_BITS)
        elif name == "torch":
            module.manual_seed(number)
        elif name == "tensorflow":
            module.random.set_seed(number)
        elif name == "cupy":
            module.random.seed(number & _32_BITS)
    if name == "torch" and is_deterministic():
        module.use_deterministic_algorithms(True, warn_only=True)  # one that cannot be is told, and no error
        module.backends.cudnn.deterministic = True
        module.backends.cudnn.benchmark = False
