"""The graphics processors a program sees, asked for only where a device node says that there are any.

Most machines have none, and they pay one look at /dev and load nothing. Where there is one, the management library is
asked in a process of its own (gpu_question) that is started first and collected last, within a bound: a driver that
hangs costs a sentence under `coverage`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gitrun.capture.gpu_question import Question

NODES = ("/dev/nvidiactl", "/dev/nvidia0")
_WINDOWS = ("/dev/dxg", "/usr/lib/wsl/lib/libnvidia-ml.so.1")  # below Windows one node serves every maker's devices
_AMD = "gpu: there is an AMD device (/dev/kfd), which this version does not describe"


class Gpus(NamedTuple):
    """`devices` in CUDA's order as the hardware has them (what kind), `identities` as a member has them (which ones).

    `driver` is `{version, cuda}`, None without a device.
    """

    devices: list[dict[str, Any]]
    identities: list[dict[str, Any]]
    driver: dict[str, Any] | None
    problems: list[str]


def has_devices(root: str = "/") -> bool:
    """Whether a device node speaks of an NVIDIA device."""
    return any(os.path.exists(root + node) for node in NODES) or all(os.path.exists(root + path) for path in _WINDOWS)


def ask(environ: Mapping[str, str], root: str = "/") -> Question | None:
    """Starts to ask; None where there is no device, none that the program may see, or no process to be had."""
    if not has_devices(root) or environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None
    from gitrun.capture.gpu_question import start  # not loaded where there is nothing to ask about

    return start()


def find_gpus(environ: Mapping[str, str], root: str = "/", question: Question | None = None) -> Gpus:
    """The devices that a program with this environment sees; `question` was asked before with the same, or is now."""
    problems = [_AMD] if os.path.exists(root + "/dev/kfd") and _wants_amd(environ) else []
    if not has_devices(root):
        return Gpus([], [], None, problems)
    from gitrun.capture.gpu_answer import kernel_version, understand  # nor this

    if environ.get("CUDA_VISIBLE_DEVICES") == "":
        return Gpus([], [], {"version": kernel_version(root), "cuda": None}, problems)
    asked = question or ask(environ, root)
    said = asked.answer() if asked is not None else {"error": "it could not be started"}
    devices, identities, driver, more = understand(said, environ, root)
    return Gpus(devices, identities, driver, problems + more)


def _wants_amd(environ: Mapping[str, str]) -> bool:
    return all(environ.get(name) not in ("", "-1") for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"))
