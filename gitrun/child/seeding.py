"""Seeds the generators of random numbers that a program has: `gitrun.seed`.

Only libraries that are imported already are seeded, since importing one for this could take seconds. Python's own hash
seed is fixed when the interpreter starts; what it was is told, so that a reader knows whether sets had an order.
"""

from __future__ import annotations

import os
import random
import sys
from operator import index
from typing import Any, Callable

from gitrun.child import metrics

_32_BITS = (1 << 32) - 1
_SEEDERS: dict[str, Callable[[Any, int], Any]] = {
    "numpy": lambda module, number: module.random.seed(number & _32_BITS),
    "torch": lambda module, number: module.manual_seed(number),  # CPU and all devices
    "tensorflow": lambda module, number: module.random.set_seed(number),
    "cupy": lambda module, number: module.random.seed(number & _32_BITS),
}


def seed(number: int) -> None:
    """Seeds `random`, and numpy, torch, tensorflow and cupy where they are imported, and records the number.

    Generators that were made before keep their state, and jax has none to seed: its keys are made from a number. Raises
    TypeError or ValueError for what is no integer from 0 up to 2^63.
    """
    number = index(number)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"a seed is an integer from 0 up to 2^63, not {number}")
    random.seed(number)
    seeded = ["random"]
    for name, seeder in _SEEDERS.items():
        module = sys.modules.get(name)
        if module is not None:
            seeder(module, number)
            seeded.append(name)
    hash_seed = os.environ.get("PYTHONHASHSEED")
    metrics.put({"kind": "seed", "value": number, "seeded": seeded, "PYTHONHASHSEED": hash_seed})
