"""The environment of a run, had again: built from its lockfile, kept by its digest, or found still there.

recorded (what it was) -> requirements -> pythons, installing -> verifying -> shelf (where it is kept) -> rebuilding
"""

from gitrun.replay.environments.describing import default_place, describe_environment
from gitrun.replay.environments.outcome import Built, NotRebuilt
from gitrun.replay.environments.rebuilding import create, rebuild
from gitrun.replay.environments.shelf import collect, shelf_of

__all__ = [
    "Built",
    "NotRebuilt",
    "collect",
    "create",
    "default_place",
    "describe_environment",
    "rebuild",
    "shelf_of",
]
